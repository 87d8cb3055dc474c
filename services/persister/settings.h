/* The persister's configuration, and the service that it describes. */
#ifndef PERSISTER_SETTINGS_H
#define PERSISTER_SETTINGS_H

#include "services/runtime/service.h"
#include "services/worker/link_settings.h"

struct persister_settings {
    char *admin_address;
    int64_t admin_port;
    char *bridge_endpoints;
    struct link_settings link;
    char *postgres_dsn;
    int64_t batch;
};

extern const struct service persister_service;

#endif
