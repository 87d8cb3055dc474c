#include "services/persister/persister.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/options.h"
#include "services/persister/batch.h"
#include "services/runtime/options.h"
#include "services/worker/options.h"
#include "services/worker/worker.h"
#include <stdlib.h>

struct persister_settings {
    char *admin_address;
    int64_t admin_port;
    char *bridge_endpoints;
    char *postgres_dsn;
    int64_t batch;
};

struct persister {
    struct worker *worker;
    struct database *database;
    struct health_check *health;
    /* the batch in flight */
    struct batch batch;
    struct part part;
    const struct order *const *orders;
    worker_executed_fn *on_executed;
    void *on_executed_arg;
};

static const struct worker_code codes[] = {
    {OUTCOME_REJECT, "id_conflict"},
    {OUTCOME_REJECT, "sqlstate_22"},
    {OUTCOME_REJECT, "sqlstate_23"},
    {OUTCOME_REJECT, "sqlstate_54"},
    {OUTCOME_REJECT, "sqlstate_P0"},
    {OUTCOME_RETRY, "sqlstate_40"},
    {OUTCOME_RETRY, "sqlstate_55P03"},
    {OUTCOME_RETRY, "sqlstate_57014"},
    {OUTCOME_RETRY, "sqlstate_"},
    {OUTCOME_RETRY, "postgres_unavailable"},
    {0},
};

static void insert_next_part(struct persister *persister);

static void on_inserted(void *arg, const struct insert_result *results,
                        const struct database_answer *answer)
{
    struct persister *persister = arg;
    if (answer->status == DATABASE_OK)
        batch_inserted(&persister->batch, &persister->part, results);
    else
        batch_failed(&persister->batch, &persister->part, answer);
    insert_next_part(persister);
}

static void insert_next_part(struct persister *persister)
{
    static const struct database_answer not_connected = {.status = DATABASE_UNAVAILABLE,
                                                         .message = "not connected"};
    while (batch_next(&persister->batch, clock_monotonic_ms(), &persister->part)) {
        if (orders_insert(persister->database, persister->orders + persister->part.first,
                          persister->part.count, on_inserted, persister) == 0)
            return;
        batch_failed(&persister->batch, &persister->part, &not_connected);
    }
    persister->on_executed(persister->on_executed_arg, batch_backend_down(&persister->batch));
}

static void execute(void *self, const struct order *const orders[], size_t count,
                    struct verdict verdicts[], worker_executed_fn *on_executed, void *arg)
{
    struct persister *persister = self;
    persister->orders = orders;
    persister->on_executed = on_executed;
    persister->on_executed_arg = arg;
    batch_begin(&persister->batch, count, verdicts, clock_monotonic_ms());
    insert_next_part(persister);
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct persister *persister = arg;
    if (health_set(persister->health, up, reason)) {
        if (up)
            log_info("connected to PostgreSQL");
        else
            log_warn("lost PostgreSQL", log_text("reason", reason));
    }
    if (up)
        worker_backend_ready(persister->worker);
}

static int run(const void *settings_of_service, int stop_fd, struct error *err)
{
    const struct persister_settings *settings = settings_of_service;
    struct persister persister = {.health = health_check("postgres", HEALTH_REQUIRED)};
    persister.worker = worker_new(
        &(struct worker_options){
            .bridge_endpoints = settings->bridge_endpoints,
            .stage = STAGE_PERSIST,
            .batch_max = (size_t)settings->batch,
            .codes = codes,
            .backend_health = persister.health,
        },
        err);
    if (!persister.worker)
        return -1;
    persister.database = database_new(worker_event_loop(persister.worker),
                                      &(struct database_options){
                                          .dsn = settings->postgres_dsn,
                                          .application_name = "persister",
                                          .max_in_flight = 2,
                                          .statement_timeout_ms = BATCH_STATEMENT_TIMEOUT_MS,
                                          .lock_timeout_ms = BATCH_LOCK_TIMEOUT_MS,
                                          .installs_schema = true,
                                          .on_state = on_database_state,
                                          .arg = &persister,
                                      });
    worker_run(persister.worker, &(struct worker_backend){.self = &persister, .execute = execute},
               stop_fd);
    database_free(persister.database);
    worker_free(persister.worker);
    return 0;
}

/* ---- description of the service ---- */

static struct persister_settings settings;

static const struct config_option options[] = {
    CONFIG_OPTION_ADMIN_ADDRESS(struct persister_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct persister_settings, admin_port, "9102"),
    CONFIG_OPTION_BRIDGE_ENDPOINTS(struct persister_settings, bridge_endpoints),
    CONFIG_OPTION_POSTGRES_DSN(struct persister_settings, postgres_dsn),
    {.name = "PERSISTER_BATCH",
     .default_text = "500",
     .help = "the most orders in one INSERT; a worker holds up to twice as many",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct persister_settings, batch),
     .minimum = 1,
     .maximum = BATCH_MAX},
};

static int reach_postgres(const void *settings_of_service, struct error *err)
{
    const struct persister_settings *its = settings_of_service;
    return database_reach(its->postgres_dsn, err);
}

const struct service persister_service = {
    .name = "persister",
    .summary = "stores accepted orders in PostgreSQL",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .settings = &settings,
    .probes = (const struct service_probe[]){{"postgres", reach_postgres}, {0}},
    .run = run,
    .admin_address = offsetof(struct persister_settings, admin_address),
    .admin_port = offsetof(struct persister_settings, admin_port),
};
