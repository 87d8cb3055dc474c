/* The table of the scheduler's variables, and what --check tries. */
#include "services/scheduler/settings.h"
#include "services/clients/elasticsearch/options.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/options.h"
#include "services/clients/rabbitmq/options.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/options.h"
#include "services/scheduler/archive.h"
#include "services/scheduler/cron.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/order_documents.h"
#include "services/scheduler/scheduler.h"
#include <string.h>

static const struct config_option options[] = {
    CONFIG_OPTION(
        "MV_REFRESH_SCHEDULE", CONFIG_STRING, struct scheduler_settings, schedule,
        .default_text = "@hourly",
        .help =
            "when to refresh the daily sales: five cron fields, @every 1h30m, @daily and the like; "
            "UTC, or in CRON_TZ=Area/City before it"),
    CONFIG_OPTION("VERIFY_SCHEDULE", CONFIG_STRING, struct scheduler_settings, verify_schedule,
                  .default_text = "@daily",
                  .help = "when to compare the orders of the last 7 days with the search index, in "
                          "the same form; or off"),
    CONFIG_OPTION("VERIFY_FULL_SCHEDULE", CONFIG_STRING, struct scheduler_settings,
                  verify_full_schedule, .default_text = "@weekly",
                  .help = "when to compare all orders with the search index; or off"),
    CONFIG_OPTION(
        "INDEX_REPAIR", CONFIG_CHOICE, struct scheduler_settings, index_repair,
        .default_text = "auto",
        .help = "auto: fill a new search index again, and index what little it lacks; "
                "off: only tell",
        .choices =
            (const char *const[]){[INDEX_REPAIR_OFF] = "off", [INDEX_REPAIR_AUTO] = "auto", NULL}),
    CONFIG_OPTION_POSTGRES_DSN(struct scheduler_settings, postgres_dsn),
    CONFIG_OPTION_ELASTICSEARCH_URL(struct scheduler_settings, elasticsearch.url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct scheduler_settings, elasticsearch.ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct scheduler_settings, elasticsearch.api_key),
    CONFIG_OPTION_ORDER_INDEX(struct scheduler_settings, order_index),
    CONFIG_OPTION_ORDER_INDEX_SETTINGS_FILE(struct scheduler_settings, index_settings_file),
    CONFIG_OPTION_RABBITMQ_URL(struct scheduler_settings, rabbitmq_url),
    CONFIG_OPTION_RABBITMQ_CA_FILE(struct scheduler_settings, rabbitmq_ca_file),
    CONFIG_OPTION_ORDER_QUEUE(struct scheduler_settings, order_queue),
    CONFIG_OPTION("ORDER_QUEUES", CONFIG_STRING, struct scheduler_settings, order_queues,
                  .help = "the order queues whose dead letters are archived, with commas between; "
                          "else ORDER_QUEUE",
                  .validate = archive_queues_validate),
    CONFIG_OPTION_ORDER_QUEUE_TYPE(struct scheduler_settings, order_queue_type),
    CONFIG_OPTION("DEAD_LETTER_ARCHIVE", CONFIG_CHOICE, struct scheduler_settings, archive,
                  .default_text = "on",
                  .help = "store dead letters in PostgreSQL; unlimited: also where RabbitMQ has a "
                          "delivery limit, because a policy lifts it",
                  .choices = (const char *const[]){[ARCHIVE_OFF] = "off",
                                                   [ARCHIVE_ON] = "on",
                                                   [ARCHIVE_UNLIMITED] = "unlimited",
                                                   NULL}),
    CONFIG_OPTION("DEAD_LETTER_ARCHIVE_MAX", CONFIG_INTEGER, struct scheduler_settings,
                  archive_max_bytes, .default_text = "1073741824",
                  .help = "bytes of archived dead letters; past it letters stay in the queue",
                  .minimum = 1, .maximum = INT64_C(1) << 50),
    CONFIG_OPTION("DEAD_LETTER_RETENTION", CONFIG_DURATION, struct scheduler_settings, retention_ms,
                  .default_text = "2160h",
                  .help = "how long a letter is kept after its replay or discard", .minimum = 60000,
                  .maximum = INT64_C(1000) * 366 * 86400 * 100),
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

static int reach_rabbitmq(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    if (settings->archive == ARCHIVE_OFF) {
        error_set(err, "not used: DEAD_LETTER_ARCHIVE=off");
        return 0;
    }
    return broker_reach(&(struct broker_options){.url = settings->rabbitmq_url,
                                                 .ca_file = settings->rabbitmq_ca_file,
                                                 .name = "scheduler check"},
                        err);
}

const char *scheduler_queues(const struct scheduler_settings *settings)
{
    return settings->order_queues != NULL ? settings->order_queues : settings->order_queue;
}

int scheduler_cron(const char *text, struct cron *ret_cron, struct error *err)
{
    if (text == NULL || strcmp(text, "off") == 0)
        return 0;
    return cron_parse(text, ret_cron, err) == 0 ? 1 : -1;
}

/* Not in the table: validate() runs for the default too, and before there are threads, as
 * cron_parse() wants it. */
static int validate(const void *arg, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    const struct {
        const char *variable, *text;
    } schedules[] = {{"MV_REFRESH_SCHEDULE", settings->schedule},
                     {"VERIFY_SCHEDULE", settings->verify_schedule},
                     {"VERIFY_FULL_SCHEDULE", settings->verify_full_schedule}};
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
        struct cron cron;
        struct error reason;
        int status = i == 0 ? cron_parse(schedules[i].text, &cron, &reason)
                            : scheduler_cron(schedules[i].text, &cron, &reason);
        if (status < 0) {
            error_set(err, "%s: %.200s", schedules[i].variable, reason.message);
            return -1;
        }
    }
    return 0;
}

static struct limits_wanted wanted(const void *arg)
{
    (void)arg;
    return (struct limits_wanted){.descriptors = 48 + ADMIN_SERVER_CONNECTIONS_MAX,
                                  .descriptors_for = "the three servers and the admin port",
                                  .memory_bytes =
                                      SERVICE_MEMORY_BYTES + 2 * ARCHIVE_BYTES + INDEX_JOB_BYTES,
                                  .threads = 5,
                                  .memory_for = "the program itself"};
}

const struct service scheduler_service = {
    .name = "scheduler",
    .summary =
        "refreshes the daily sales, archives dead letters, watches the search index, and does "
        "jobs that take long",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings = &(struct scheduler_settings){0},
    .admin_address = offsetof(struct scheduler_settings, admin_address),
    .admin_port = offsetof(struct scheduler_settings, admin_port),
    .probes = (const struct service_probe[]){{"postgres", reach_postgres},
                                             {"rabbitmq", reach_rabbitmq},
                                             {"elasticsearch", reach_elasticsearch},
                                             {0}},
    .validate = validate,
    .wanted = wanted,
    .run = scheduler_run,
};
