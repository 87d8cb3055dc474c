/* The persister: a worker whose store is the orders table. */
#include "services/persister/persister.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/clients/postgres/schema_watch.h"
#include "services/persister/insert_answer.h"
#include "services/persister/settings.h"
#include "services/worker/worker.h"

#define INSERT_SPACING_MS 5
#define STATEMENTS_MAX 3 /* an INSERT, what is read after it, a look at the schema */

struct persister {
    struct worker *worker;
    struct database *database;
    struct orders_insert *inserts[BATCHES]; /* written and not sent, by the batch's number */
    struct health_check *health;
};

static const struct worker_code codes[] = {
    {OUTCOME_REJECT, "id_conflict"},
    {OUTCOME_REJECT, "sqlstate_22"},
    {OUTCOME_REJECT, "sqlstate_23"},
    {OUTCOME_REJECT, "sqlstate_44"},
    {OUTCOME_REJECT, "sqlstate_P0"},
    {OUTCOME_RETRY, "sqlstate_40"},
    {OUTCOME_RETRY, "sqlstate_55P03"},
    {OUTCOME_RETRY, "sqlstate_57014"},
    {OUTCOME_RETRY, "sqlstate_"},
    {OUTCOME_RETRY, "postgres_unavailable"},
    {0},
};

static void on_inserted(void *arg, const struct insert_result *results,
                        const struct database_answer *answer)
{
    struct batch *batch = arg;
    insert_answer_judge(batch, results, answer);
    batch_go_on(batch, clock_monotonic_ms());
}

static void write_part(void *self, struct batch *batch)
{
    struct persister *persister = self;
    struct orders_insert **insert = &persister->inserts[batch->number];
    orders_insert_free(*insert);
    *insert = orders_insert_new(batch->orders + batch->part.first, batch->part.count);
}

static int insert_part(void *self, struct batch *batch, int64_t timeout_ms)
{
    (void)timeout_ms; /* a statement has its own, shorter limit */
    struct persister *persister = self;
    struct orders_insert *insert = persister->inserts[batch->number];
    persister->inserts[batch->number] = NULL;
    if (orders_insert_send(insert, persister->database, on_inserted, batch) == 0)
        return 0;
    insert_answer_judge(
        batch, NULL,
        &(struct database_answer){.status = DATABASE_UNAVAILABLE, .message = "not connected"});
    return -1;
}

static bool looks_usable(void *self)
{
    const struct persister *persister = self;
    return database_up(persister->database);
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct persister *persister = arg;
    if (health_set(persister->health, up, reason)) {
        if (up)
            log_info("connected to PostgreSQL");
        else
            log_warn("no connection to PostgreSQL", log_text("reason", reason));
    }
    if (up)
        worker_store_ready(persister->worker);
}

int persister_run(const void *arg, int stop_fd, struct error *err)
{
    const struct persister_settings *settings = arg;
    struct link_key key;
    struct persister persister = {.health = health_check("postgres", HEALTH_REQUIRED)};
    persister.worker = worker_new(
        &(struct worker_options){
            .bridge_endpoints = settings->bridge_endpoints,
            .key = link_settings_key(&settings->link, &key),
            .stage = STAGE_PERSIST,
            .batch_max = (size_t)settings->batch,
            .width_max = 1, /* statements of one connection follow one another */
            .spacing_ms = INSERT_SPACING_MS,
            .codes = codes,
            .store = {.self = &persister,
                      .write_part = write_part,
                      .try_part = insert_part,
                      .looks_usable = looks_usable,
                      .limit_ms = INSERT_TRY_MS,
                      .unavailable = "postgres_unavailable"},
            .store_health = persister.health,
        },
        err);
    if (persister.worker == NULL)
        return -1;
    persister.database = database_new(worker_event_loop(persister.worker),
                                      &(struct database_options){
                                          .dsn = settings->postgres_dsn,
                                          .application_name = "persister",
                                          .max_in_flight = STATEMENTS_MAX,
                                          .statement_timeout_ms = INSERT_STATEMENT_TIMEOUT_MS,
                                          .lock_timeout_ms = INSERT_LOCK_TIMEOUT_MS,
                                          .uses = DATABASE_INSERTS,
                                          .on_state = on_database_state,
                                          .arg = &persister,
                                      });
    struct schema_watch *watch =
        schema_watch_new(worker_event_loop(persister.worker), persister.database);
    worker_run(persister.worker, stop_fd);
    database_free(persister.database);
    schema_watch_free(watch);
    worker_free(persister.worker);
    for (size_t i = 0; i < BATCHES; i++)
        orders_insert_free(persister.inserts[i]);
    return 0;
}
