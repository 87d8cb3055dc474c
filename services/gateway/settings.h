/* The gateway's configuration. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "services/base/config.h"
#include <stdint.h>

struct gateway_settings {
    char *api_address;
    int64_t api_port;
    int64_t threads; /* 0: as many as processors */
    int64_t max_connections;
    char *postgres_dsn;
    char *redis_addr, *redis_username, *redis_password;
    int64_t order_cache_ttl_ms;
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue;
    int order_queue_type; /* enum queue_type */
    int64_t publish_window;
    char *elasticsearch_url, *elasticsearch_ca_file, *elasticsearch_api_key;
    char *order_index;
    char *scheduler_endpoints;
    char *admin_token;
    int admin_auth; /* enum admin_auth */
    char *idempotency_namespace;
};

enum admin_auth { ADMIN_AUTH_ON, ADMIN_AUTH_OFF };

extern const struct config_option gateway_options[];
extern const size_t gateway_option_count;

#endif
