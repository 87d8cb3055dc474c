/* The bridge's configuration, and the service that it describes. */
#ifndef BRIDGE_SETTINGS_H
#define BRIDGE_SETTINGS_H

#include "services/runtime/service.h"
#include "services/worker/link_settings.h"

struct bridge_settings {
    char *admin_address;
    int64_t admin_port;
    char *bind;
    struct link_settings link;
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue;
    int order_queue_type; /* enum queue_type */
    int64_t prefetch;
};

extern const struct service bridge_service;

#endif
