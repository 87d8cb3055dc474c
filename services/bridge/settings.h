/* The bridge's configuration: one table, printed by --help. */
#ifndef BRIDGE_SETTINGS_H
#define BRIDGE_SETTINGS_H

#include "services/base/config.h"

struct bridge_settings {
    char *admin_address;
    int64_t admin_port;
    char *bind;
    char *rabbitmq_url, *rabbitmq_ca_file;
    char *order_queue;
    int order_queue_type; /* enum queue_type */
    int64_t prefetch;
};

extern const struct config_option bridge_options[];
extern const size_t bridge_option_count;

#endif
