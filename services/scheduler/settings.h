/* The scheduler's configuration, and the service that it describes. */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/postgres/connection.h"
#include "services/runtime/service.h"
#include "services/scheduler/cron.h"
#include <stdint.h>

struct scheduler_settings {
    char *admin_address;
    int64_t admin_port;
    char *postgres_dsn;
    char *schedule, *verify_schedule, *verify_full_schedule; /* scheduler_cron() */
    struct elasticsearch_options elasticsearch;              /* url, api_key and ca_file */
    char *order_index;
    char *index_settings_file; /* or NULL */
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue, *order_queues; /* scheduler_queues() */
    int order_queue_type;             /* enum queue_type */
    int archive;                      /* enum archive_mode */
    int64_t archive_max_bytes, retention_ms;
    int index_repair; /* enum index_repair */
};

enum index_repair { INDEX_REPAIR_OFF, INDEX_REPAIR_AUTO };

/* What a scheduler does with PostgreSQL, on all of its connections. */
#define SCHEDULER_DATABASE_USES (DATABASE_SCHEDULES | DATABASE_ARCHIVES)

/* The order queues whose dead letters are archived, with commas between. */
const char *scheduler_queues(const struct scheduler_settings *settings);

/* Read a schedule that may be "off", or NULL, which is the same. Returns 1 with *ret_cron set, 0
 * when it is off, or -1 with `err` set. */
int scheduler_cron(const char *text, struct cron *ret_cron, struct error *err)
    __attribute__((warn_unused_result));

extern const struct service scheduler_service;

#endif
