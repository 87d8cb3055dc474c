/* The scheduler's configuration, and the service that it describes. */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/postgres/connection.h"
#include "services/runtime/service.h"
#include <stdint.h>

struct scheduler_settings {
    char *admin_address;
    int64_t admin_port;
    char *postgres_dsn;
    char *schedule;
    struct elasticsearch_options elasticsearch; /* url, api_key and ca_file */
    char *order_index;
    char *index_settings_file; /* or NULL */
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue, *order_queues; /* scheduler_queues() */
    int order_queue_type;             /* enum queue_type */
    int archive;                      /* enum archive_mode */
    int64_t archive_max_bytes, retention_ms;
};

/* What a scheduler does with PostgreSQL, on all of its connections. */
#define SCHEDULER_DATABASE_USES (DATABASE_SCHEDULES | DATABASE_ARCHIVES)

/* The order queues whose dead letters are archived, with commas between. */
const char *scheduler_queues(const struct scheduler_settings *settings);

extern const struct service scheduler_service;

#endif
