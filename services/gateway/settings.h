/* The gateway's configuration, and the service that it describes. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/redis/redis_connection.h"
#include "services/runtime/service.h"
#include <stdint.h>

struct gateway_settings {
    char *api_address;
    int64_t api_port;
    int api_admin, api_metrics, api_console; /* enum setting_switch */
    char *cors_origins;
    char *admin_address;
    int64_t admin_port;
    int64_t threads;         /* 0: as many as processors */
    int64_t max_connections; /* 0: none is asked for */
    int64_t keepalive_ms, drain_ms;
    int64_t body_budget_bytes;
    int64_t answer_budget_bytes;
    char *postgres_dsn;
    struct redis_options redis; /* address, username and password */
    int64_t order_cache_ttl_ms;
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue;
    int order_queue_type; /* enum queue_type */
    int64_t publish_window;
    struct elasticsearch_options elasticsearch; /* url, api_key and ca_file */
    char *order_index;
    char *admin_token, *admin_read_token;
    int admin_auth; /* enum setting_switch */
    char *service_urls;
    char *idempotency_namespace;
};

/* What a gateway does with PostgreSQL, on all of its connections. */
#define GATEWAY_DATABASE_USES                                                                      \
    (DATABASE_FINDS | DATABASE_INSERTS | DATABASE_OUTBOX | DATABASE_SALES | DATABASE_JOBS |        \
     DATABASE_LETTERS)

enum setting_switch { SETTING_ON, SETTING_OFF };

extern const struct service gateway_service;

/* Event loops: as many as are set, or one for each processor. */
unsigned gateway_threads(const struct gateway_settings *settings);

/* File descriptors for all that is no connection of a client. */
uint64_t gateway_own_descriptors(const struct gateway_settings *settings);

#endif
