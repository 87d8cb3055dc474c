/* Each transaction is a row of statements, sent one by one; when one fails, ROLLBACK follows. They
 * are READ COMMITTED whatever the role is set to, because each statement has to see what was
 * committed before it began: in the mending, that another one has ended. */
#include "services/clients/postgres/sales_ledger.h"
#include "services/base/memory.h"
#include "services/clients/postgres/advisory_locks.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/sales_ledger_sql.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 6
#define VALUES_MAX 2

/* A transaction under way. */
struct work {
    struct database *database;
    const char *const *statements; /* NULL after the last one */
    size_t at;
    const char *parametric; /* the statement that has parameters */
    char texts[VALUES_MAX][24];
    const char *values[VALUES_MAX]; /* of `texts`, or NULL */
    int value_count;
    struct sales_ledger_drift drift;
    database_done_fn *on_done;
    sales_ledger_mended_fn *on_mended; /* instead of on_done */
    void *arg;
    struct database_answer why; /* it failed */
};

static const char begin[] = "BEGIN ISOLATION LEVEL READ COMMITTED", commit[] = "COMMIT";
static const char limit_locks[] = "SELECT set_config('lock_timeout', $1, true)";

static void done(struct work *work, const struct database_answer *answer)
{
    if (work->on_mended != NULL)
        work->on_mended(work->arg, &work->drift, answer);
    else
        work->on_done(work->arg, answer);
    free(work);
}

static void on_rolled_back(void *arg, const struct database_answer *answer)
{
    (void)answer; /* a transaction whose connection is lost has ended, too */
    struct work *work = arg;
    done(work, &work->why);
}

static void roll_back(struct work *work, const struct database_answer *answer)
{
    work->why = *answer;
    work->why.result = NULL;
    if (answer->status == DATABASE_UNAVAILABLE ||
        database_call(work->database, "ROLLBACK", NULL, false, on_rolled_back, free, work) != 0)
        done(work, &work->why);
}

static int next(struct work *work);

static void on_statement(void *arg, const struct database_answer *answer)
{
    struct work *work = arg;
    if (answer->status != DATABASE_OK) {
        roll_back(work, answer);
        return;
    }
    if (PQnfields(answer->result) == 3 && PQntuples(answer->result) == 1)
        work->drift = (struct sales_ledger_drift){
            .days = strtoll(PQgetvalue(answer->result, 0, 0), NULL, 10),
            .orders = strtoll(PQgetvalue(answer->result, 0, 1), NULL, 10),
            .filled = PQgetvalue(answer->result, 0, 2)[0] == 't',
        };
    work->at++;
    if (work->statements[work->at] == NULL) {
        done(work, answer);
    } else if (next(work) != 0) {
        struct database_answer unavailable;
        answer_set_unavailable(&unavailable, "the connection was lost");
        roll_back(work, &unavailable);
    }
}

static int next(struct work *work)
{
    const char *sql = work->statements[work->at];
    const struct database_parameters parameters = {
        .count = sql == work->parametric ? work->value_count : 0, .values = work->values};
    return database_call(work->database, sql, &parameters, false, on_statement, free, work);
}

static int start(const struct work *what)
{
    struct work *work = memory_new(sizeof *work);
    *work = *what;
    for (int i = 0; i < VALUES_MAX; i++)
        work->values[i] = work->texts[i][0] != '\0' ? work->texts[i] : NULL;
    if (next(work) == 0)
        return 0;
    free(work);
    return -1;
}

int sales_ledger_look(struct database *database, database_done_fn *on_done, void *arg)
{
    return database_send(database, sales_ledger_look_sql, NULL, false, on_done, arg);
}

static enum sales_ledger_next read_next(const char *said)
{
    static const char *const words[] = {
        [SALES_LEDGER_WAIT] = "wait",         [SALES_LEDGER_CANNOT] = "cannot",
        [SALES_LEDGER_TRIGGERS] = "triggers", [SALES_LEDGER_FILL] = "fill",
        [SALES_LEDGER_VIEW] = "view",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(said, words[i]) == 0)
            return (enum sales_ledger_next)i;
    return SALES_LEDGER_DONE;
}

void sales_ledger_looked(const struct database_answer *answer, struct sales_ledger_look *ret_look)
{
    const PGresult *result = answer->result;
    *ret_look = (struct sales_ledger_look){
        .next = read_next(PQgetvalue(result, 0, 0)),
        .reason = PQgetisnull(result, 0, 1) ? NULL : PQgetvalue(result, 0, 1),
        .untold = PQgetvalue(result, 0, 2)[0] == 't',
        .lost = strtoll(PQgetvalue(result, 0, 3), NULL, 10), /* of NULL it is 0 */
        .lost_at_us = strtoll(PQgetvalue(result, 0, 4), NULL, 10),
        .drift_at_us = strtoll(PQgetvalue(result, 0, 5), NULL, 10),
        .drift_days = strtoll(PQgetvalue(result, 0, 6), NULL, 10),
        .drift_orders = strtoll(PQgetvalue(result, 0, 7), NULL, 10),
    };
}

int sales_ledger_tell(struct database *database, const char *obstacle, database_done_fn *on_done,
                      void *arg)
{
    const char *const values[] = {obstacle};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, "UPDATE sales_ledger_state SET obstacle = $1", &parameters,
                         false, on_done, arg);
}

static int change(struct database *database, const char *const *statements, int64_t lock_timeout_ms,
                  database_done_fn *on_done, void *arg)
{
    struct work work = {.database = database,
                        .statements = statements,
                        .parametric = limit_locks,
                        .value_count = 1,
                        .on_done = on_done,
                        .arg = arg};
    snprintf(work.texts[0], sizeof work.texts[0], "%" PRId64 "ms", lock_timeout_ms);
    return start(&work);
}

int sales_ledger_install(struct database *database, int64_t lock_timeout_ms,
                         database_done_fn *on_done, void *arg)
{
    static const char *const statements[STATEMENTS_MAX] = {begin, limit_locks,
                                                           sales_ledger_triggers_sql, commit};
    return change(database, statements, lock_timeout_ms, on_done, arg);
}

int sales_ledger_replace_view(struct database *database, int64_t lock_timeout_ms,
                              database_done_fn *on_done, void *arg)
{
    static const char *const statements[STATEMENTS_MAX] = {begin, limit_locks,
                                                           sales_ledger_view_sql, commit};
    return change(database, statements, lock_timeout_ms, on_done, arg);
}

int sales_ledger_mend(struct database *database, int64_t from_us, int64_t to_us,
                      sales_ledger_mended_fn *on_done, void *arg)
{
    /* The lock comes first, in a statement of its own: of two mendings at once both would add the
     * drift. Then orders: TRUNCATE locks orders and then the ledger, and the other way round, as
     * the INSERT alone does, they would deadlock. */
    static const char *const statements[STATEMENTS_MAX] = {
        begin, "SELECT pg_advisory_xact_lock(" LOCK_OF_SALES_LEDGER ")",
        "LOCK TABLE orders IN ACCESS SHARE MODE", sales_ledger_mend_sql, commit};
    struct work work = {.database = database,
                        .statements = statements,
                        .parametric = sales_ledger_mend_sql,
                        .value_count = 2,
                        .on_mended = on_done,
                        .arg = arg};
    if (from_us != INT64_MIN)
        snprintf(work.texts[0], sizeof work.texts[0], "%" PRId64, from_us);
    if (to_us != INT64_MAX)
        snprintf(work.texts[1], sizeof work.texts[1], "%" PRId64, to_us);
    return start(&work);
}

int sales_ledger_fold(struct database *database, database_done_fn *on_done, void (*drop)(void *arg),
                      void *arg)
{
    /* What was deleted is put back. Of two folds at once one does nothing: they would lock the rows
     * of a large ledger in different orders. trim_scale(): one amount of many decimals would leave
     * them in its day for ever. */
    static const char sql[] =
        "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(" LOCK_OF_LEDGER_FOLD
        ") AS mine),"
        " gone AS (DELETE FROM sales_ledger WHERE (SELECT mine FROM turn) AND day IN"
        " (SELECT day FROM sales_ledger GROUP BY day HAVING count(*) > 1)"
        " RETURNING day, total, orders)"
        " INSERT INTO sales_ledger (day, total, orders)"
        " SELECT day, trim_scale(sum(total)), sum(orders) FROM gone GROUP BY day"
        " HAVING sum(total) <> 0 OR sum(orders) <> 0";
    return database_call(database, sql, NULL, false, on_done, drop, arg);
}
