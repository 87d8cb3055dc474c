#include "services/scheduler/settings.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/options.h"
#include "services/runtime/options.h"

const struct config_option scheduler_options[] = {
    {.name = "MV_REFRESH_SCHEDULE",
     .default_text = "@hourly",
     .help =
         "when to refresh the daily sales: five cron fields, @every 1h30m, @daily and the like; "
         "UTC, or in CRON_TZ=Area/City before it",
     .kind = CONFIG_STRING,
     .offset = offsetof(struct scheduler_settings, schedule)},
    {.name = "SCHEDULER_BIND",
     .default_text = "tcp://*:7200",
     .help = "where gateways ask for a refresh: tcp://address:port or ipc://path",
     .kind = CONFIG_STRING,
     .offset = offsetof(struct scheduler_settings, bind),
     .validate = zmq_endpoint_validate},
    CONFIG_OPTION_POSTGRES_DSN(struct scheduler_settings, postgres_dsn),
    CONFIG_OPTION_ADMIN_ADDRESS(struct scheduler_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct scheduler_settings, admin_port, "9104"),
};
const size_t scheduler_option_count = sizeof scheduler_options / sizeof *scheduler_options;

static int reach_postgres(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    return database_reach(settings->postgres_dsn, err);
}

const struct service_probe scheduler_probes[] = {{"postgres", reach_postgres}, {NULL, NULL}};

/* Here and not in the table, because this is run for the default, too, and before there are
 * threads, as cron_parse() wants it. */
int scheduler_validate(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    struct cron cron;
    struct error reason;
    if (cron_parse(settings->schedule, &cron, &reason) == 0)
        return 0;
    error_set(err, "MV_REFRESH_SCHEDULE: %.200s", reason.message);
    return -1;
}

const char *scheduler_admin_address(const void *arg, uint16_t *ret_port)
{
    const struct scheduler_settings *settings = arg;
    *ret_port = (uint16_t)settings->admin_port;
    return settings->admin_address;
}
