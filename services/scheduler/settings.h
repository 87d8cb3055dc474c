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
};

/* What a scheduler does with PostgreSQL, on all of its connections. */
#define SCHEDULER_DATABASE_USES (DATABASE_SCHEDULES | DATABASE_ARCHIVES)

extern const struct service scheduler_service;

#endif
