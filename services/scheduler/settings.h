/* The scheduler's configuration, and the service that it describes. */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include "services/runtime/service.h"
#include <stdint.h>

struct scheduler_settings {
    char *admin_address;
    int64_t admin_port;
    char *postgres_dsn;
    char *schedule;
};

extern const struct service scheduler_service;

#endif
