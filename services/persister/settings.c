/* The table of the persister's variables, and what --check tries. */
#include "services/persister/settings.h"
#include "services/clients/postgres/options.h"
#include "services/clients/postgres/orders.h"
#include "services/persister/persister.h"
#include "services/runtime/options.h"
#include "services/worker/options.h"
#include "services/worker/worker_limits.h"

_Static_assert(ORDERS_BATCH_MAX == 1000,
               "the most of PERSISTER_BATCH: orders_insert_new() takes a batch");

static const struct config_option options[] = {
    CONFIG_OPTION_ADMIN_ADDRESS(struct persister_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct persister_settings, admin_port, "9102"),
    CONFIG_OPTION_BRIDGE_ENDPOINTS(struct persister_settings, bridge_endpoints),
    CONFIG_OPTIONS_LINK(struct persister_settings, link),
    CONFIG_OPTION_POSTGRES_DSN(struct persister_settings, postgres_dsn),
    CONFIG_OPTION_WORKER_BATCH(struct persister_settings, batch, "PERSISTER_BATCH", "INSERT", 1000),
};

static int reach_postgres(const void *arg, struct error *err)
{
    const struct persister_settings *settings = arg;
    return database_reach(settings->postgres_dsn, DATABASE_INSERTS, err);
}

static int validate(const void *arg, struct error *err)
{
    const struct persister_settings *settings = arg;
    return link_settings_check(&settings->link, "BRIDGE_ENDPOINTS", settings->bridge_endpoints,
                               err);
}

static struct limits_wanted wanted(const void *arg)
{
    const struct persister_settings *settings = arg;
    return worker_limits(settings->bridge_endpoints, settings->batch, "PERSISTER_BATCH");
}

const struct service persister_service = {
    .name = "persister",
    .summary = "stores accepted orders in PostgreSQL",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings = &(struct persister_settings){0},
    .admin_address = offsetof(struct persister_settings, admin_address),
    .admin_port = offsetof(struct persister_settings, admin_port),
    .probes = (const struct service_probe[]){{"postgres", reach_postgres}, {0}},
    .validate = validate,
    .wanted = wanted,
    .run = persister_run,
};
