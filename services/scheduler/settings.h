/* What the scheduler is configured with. */
#ifndef SCHEDULER_SETTINGS_H
#define SCHEDULER_SETTINGS_H

#include "proto/error.h"
#include "services/base/config.h"
#include "services/runtime/service.h"
#include "services/scheduler/cron.h"
#include <stddef.h>
#include <stdint.h>

struct scheduler_settings {
    char *admin_address;
    int64_t admin_port;
    char *bind;
    char *postgres_dsn;
    char *schedule;
};

extern const struct config_option scheduler_options[];
extern const size_t scheduler_option_count;
extern const struct service_probe scheduler_probes[];

/* For struct service. */
int scheduler_validate(const void *settings, struct error *err);
const char *scheduler_admin_address(const void *settings, uint16_t *ret_port);

#endif
