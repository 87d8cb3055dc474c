/* The table of the scheduler's variables, and what --check tries. */
#include "services/scheduler/settings.h"
#include "services/clients/elasticsearch/options.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/options.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/options.h"
#include "services/scheduler/cron.h"
#include "services/scheduler/order_documents.h"
#include "services/scheduler/scheduler.h"

static const struct config_option options[] = {
    CONFIG_OPTION(
        "MV_REFRESH_SCHEDULE", CONFIG_STRING, struct scheduler_settings, schedule,
        .default_text = "@hourly",
        .help =
            "when to refresh the daily sales: five cron fields, @every 1h30m, @daily and the like; "
            "UTC, or in CRON_TZ=Area/City before it"),
    CONFIG_OPTION_POSTGRES_DSN(struct scheduler_settings, postgres_dsn),
    CONFIG_OPTION_ELASTICSEARCH_URL(struct scheduler_settings, elasticsearch.url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct scheduler_settings, elasticsearch.ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct scheduler_settings, elasticsearch.api_key),
    CONFIG_OPTION_ORDER_INDEX(struct scheduler_settings, order_index),
    CONFIG_OPTION_ADMIN_ADDRESS(struct scheduler_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct scheduler_settings, admin_port, "9104"),
};

static int reach_postgres(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    return database_reach(settings->postgres_dsn, SCHEDULER_DATABASE_USES, err);
}

static int reach_elasticsearch(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    return order_documents_reach(&settings->elasticsearch, settings->order_index, err);
}

/* Not in the table: validate() runs for the default too, and before there are threads, as
 * cron_parse() wants it. */
static int validate(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    struct cron cron;
    struct error reason;
    if (cron_parse(settings->schedule, &cron, &reason) == 0)
        return 0;
    error_set(err, "MV_REFRESH_SCHEDULE: %.200s", reason.message);
    return -1;
}

static struct limits_wanted wanted(const void *arg)
{
    (void)arg;
    return (struct limits_wanted){.descriptors = 32 + ADMIN_SERVER_CONNECTIONS_MAX,
                                  .descriptors_for = "PostgreSQL, Elasticsearch and the admin port",
                                  .memory_bytes = SERVICE_MEMORY_BYTES,
                                  .threads = 2,
                                  .memory_for = "the program itself"};
}

const struct service scheduler_service = {
    .name = "scheduler",
    .summary = "refreshes the daily sales, and does jobs that take long",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings = &(struct scheduler_settings){0},
    .admin_address = offsetof(struct scheduler_settings, admin_address),
    .admin_port = offsetof(struct scheduler_settings, admin_port),
    .probes = (const struct service_probe[]){{"postgres", reach_postgres},
                                             {"elasticsearch", reach_elasticsearch},
                                             {0}},
    .validate = validate,
    .wanted = wanted,
    .run = scheduler_run,
};
