/* Reading and refreshing daily_sales_mv. A refresh is one explicit transaction, step by step:
 *
 *   BEGIN → lock → tick (its row in the history, and is the view filled?) → REFRESH → note → COMMIT
 *
 * The ledger is folded before, not within: the view may still read orders, and a TRUNCATE locks
 * orders before the ledger.
 *
 * The lock is tried first and the tick is looked for after it, in a statement of its own: a
 * statement sees what was committed before it began, so a tick that another scheduler has just done
 * is seen. A step that fails is followed by ROLLBACK. */
#include "services/clients/postgres/sales_view.h"
#include "services/base/memory.h"
#include "services/clients/postgres/advisory_locks.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/sales_ledger.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 55000 object_not_in_prerequisite_state: "has not been populated" */
#define SQLSTATE_NOT_POPULATED "55000"
#define US_PER_DAY (INT64_C(86400) * 1000000)
#define UNIX_DAY_OF_2000 10957 /* a date is an int32 of days since 2000-01-01 (date_recv()) */

struct read {
    sales_read_fn *on_done;
    void *arg;
};

/* The bounds leave out NULL, infinite and unprintable dates, and revenues that are no JSON number
 * (NaN, infinite). round() bounds the length: 40 digits, a sign, a point, 20 decimals. */
#define DAYS_OF(day, total) day ", trim_scale(round(" total ", 20))::text"
#define DAY_FITS(day) day " BETWEEN '0001-01-01' AND '9999-12-31'"
#define TOTAL_FITS(total) total " BETWEEN -1e40 AND 1e40"
#define NEWEST(day) " ORDER BY " day " DESC LIMIT 30"
_Static_assert(SALES_DAYS_MAX == 30, "the LIMIT");

static size_t read_days(const struct database_answer *answer, struct sales_day *days)
{
    size_t count = 0;
    int rows = answer->result != NULL ? PQntuples(answer->result) : 0;
    for (int i = 0; i < rows && count < SALES_DAYS_MAX; i++) {
        if (PQgetisnull(answer->result, i, 0))
            continue;
        struct sales_day *day = &days[count++];
        int64_t since_2000_days = binary_integer(PQgetvalue(answer->result, i, 0), 4);
        day->date_us = (since_2000_days + UNIX_DAY_OF_2000) * US_PER_DAY;
        snprintf(day->total_revenue, sizeof day->total_revenue, "%s",
                 PQgetvalue(answer->result, i, 1));
    }
    return count;
}

static void on_days(void *arg, const struct database_answer *answer)
{
    struct read read = *(struct read *)arg;
    free(arg);
    struct sales_day days[SALES_DAYS_MAX];
    struct database_answer empty = {.status = DATABASE_OK};
    if (answer_has_sqlstate(answer, SQLSTATE_NOT_POPULATED))
        answer = &empty;
    read.on_done(read.arg, days, read_days(answer, days), answer);
}

/* The table of the state may be empty. */
static bool is_filled(const PGresult *result)
{
    return PQntuples(result) > 0 && PQgetvalue(result, 0, 2)[0] == 1;
}

static void on_live_days(void *arg, const struct database_answer *answer)
{
    struct read read = *(struct read *)arg;
    free(arg);
    struct sales_day days[SALES_DAYS_MAX];
    struct database_answer not_filled;
    if (answer->status == DATABASE_OK && !is_filled(answer->result)) {
        bool never = PQntuples(answer->result) > 0 && !PQgetisnull(answer->result, 0, 3);
        answer_set_failed(&not_filled, never ? SALES_IMPOSSIBLE : SALES_UNFINISHED,
                          never ? PQgetvalue(answer->result, 0, 3) : "sales_ledger lacks orders");
        answer = &not_filled;
    }
    read.on_done(read.arg, days, read_days(answer, days), answer);
}

static int read_sales(struct database *database, const char *sql, database_done_fn *on_answer,
                      sales_read_fn *on_done, void *arg)
{
    struct read *read = memory_new(sizeof *read);
    *read = (struct read){on_done, arg};
    if (database_call(database, sql, NULL, true, on_answer, free, read) == 0)
        return 0;
    free(read);
    return -1;
}

int sales_view_read(struct database *database, sales_read_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT " DAYS_OF("sale_date", "total_revenue") " FROM daily_sales_mv WHERE " DAY_FITS(
            "sale_date") " AND " TOTAL_FITS("total_revenue") NEWEST("sale_date");
    return read_sales(database, sql, on_days, on_done, arg);
}

int sales_view_read_live(struct database *database, sales_read_fn *on_done, void *arg)
{
    /* One row, without a day, while the ledger is not filled, and when it has no day. */
    static const char sql[] =
        "SELECT newest.*, filled, obstacle FROM"
        " (SELECT coalesce(filled_at > '-infinity', false) AS filled, obstacle"
        " FROM sales_ledger_state) AS state LEFT JOIN"
        " (SELECT " DAYS_OF("day", "sum(total)") " FROM sales_ledger WHERE " DAY_FITS(
            "day") " GROUP BY day HAVING sum(orders) > 0 AND " TOTAL_FITS("sum(total)")
            NEWEST("day") ") AS newest ON filled ORDER BY day DESC";
    return read_sales(database, sql, on_live_days, on_done, arg);
}

struct refresh {
    struct database *database;
    sales_refreshed_fn *on_done;
    void *arg;
    int64_t tick_us;
    int64_t history_id;
    enum refresh_result result; /* told when the transaction has ended */
    struct database_answer why; /* for REFRESH_FAILED */
};

static void done(struct refresh *refresh, enum refresh_result result,
                 const struct database_answer *answer)
{
    refresh->on_done(refresh->arg, result, answer);
    free(refresh);
}

static void on_rolled_back(void *arg, const struct database_answer *answer)
{
    struct refresh *refresh = arg;
    done(refresh, refresh->result, refresh->result == REFRESH_FAILED ? &refresh->why : answer);
}

/* Leave the transaction; `answer` is why, when that is a failure. */
static void roll_back(struct refresh *refresh, enum refresh_result result,
                      const struct database_answer *answer)
{
    refresh->result = result;
    refresh->why = *answer;
    refresh->why.result = NULL;
    /* A lost connection has ended the transaction already. */
    if (answer->status == DATABASE_UNAVAILABLE ||
        database_call(refresh->database, "ROLLBACK", NULL, false, on_rolled_back, free, refresh) !=
            0)
        done(refresh, result, &refresh->why);
}

/* Go on, unless the step before failed. */
static void next_step(struct refresh *refresh, const struct database_answer *answer,
                      const char *sql, const struct database_parameters *parameters,
                      database_done_fn *on_done)
{
    if (answer->status != DATABASE_OK) {
        roll_back(refresh, REFRESH_FAILED, answer);
    } else if (database_call(refresh->database, sql, parameters, true, on_done, free, refresh) !=
               0) {
        struct database_answer unavailable;
        answer_set_unavailable(&unavailable, "the connection was lost");
        roll_back(refresh, REFRESH_FAILED, &unavailable);
    }
}

static bool is_true(const PGresult *result, int column)
{
    return PQntuples(result) == 1 && PQgetvalue(result, 0, column)[0] == 1;
}

static void on_committed(void *arg, const struct database_answer *answer)
{
    struct refresh *refresh = arg;
    done(refresh, answer->status == DATABASE_OK ? REFRESH_DONE : REFRESH_FAILED, answer);
}

static void on_noted(void *arg, const struct database_answer *answer)
{
    next_step(arg, answer, "COMMIT", NULL, on_committed);
}

static void on_refreshed(void *arg, const struct database_answer *answer)
{
    /* The history of the last refreshes is kept. */
    static const char sql[] =
        "WITH old AS (DELETE FROM sales_refresh WHERE id < $1::bigint - 10000)"
        " UPDATE sales_refresh SET finished_at = clock_timestamp() WHERE id = $1::bigint";
    struct refresh *refresh = arg;
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, refresh->history_id);
    const char *const values[] = {id};
    const struct database_parameters parameters = {.count = 1, .values = values};
    next_step(refresh, answer, sql, &parameters, on_noted);
}

static void on_tick(void *arg, const struct database_answer *answer)
{
    struct refresh *refresh = arg;
    bool filled = false;
    if (answer->status == DATABASE_OK) {
        if (PQntuples(answer->result) == 0) {
            roll_back(refresh, REFRESH_ALREADY_DONE, answer);
            return;
        }
        refresh->history_id = binary_integer(PQgetvalue(answer->result, 0, 0), sizeof(int64_t));
        filled = is_true(answer->result, 1);
    }
    next_step(refresh, answer,
              filled ? "REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv"
                     : "REFRESH MATERIALIZED VIEW daily_sales_mv",
              NULL, on_refreshed);
}

static void on_locked(void *arg, const struct database_answer *answer)
{
    /* Inserts nothing when the history has the tick. Also: can the view be refreshed concurrently,
     * which one that was never filled cannot. */
    static const char sql[] =
        "INSERT INTO sales_refresh (tick, started_at) VALUES"
        " (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', clock_timestamp())"
        " ON CONFLICT (tick) DO NOTHING"
        " RETURNING id,"
        " (SELECT relispopulated FROM pg_class WHERE oid = 'daily_sales_mv'::regclass)";
    struct refresh *refresh = arg;
    if (answer->status == DATABASE_OK && !is_true(answer->result, 0)) {
        roll_back(refresh, REFRESH_LOCKED, answer);
        return;
    }
    char tick[24];
    snprintf(tick, sizeof tick, "%" PRId64, refresh->tick_us);
    const char *const values[] = {refresh->tick_us != 0 ? tick : NULL};
    const struct database_parameters parameters = {.count = 1, .values = values};
    next_step(refresh, answer, sql, &parameters, on_tick);
}

static void on_begun(void *arg, const struct database_answer *answer)
{
    next_step(arg, answer, "SELECT pg_try_advisory_xact_lock(" LOCK_OF_SALES_VIEW ")", NULL,
              on_locked);
}

static void on_folded(void *arg, const struct database_answer *answer)
{
    /* The view is right without it, too. */
    struct database_answer folded = *answer;
    if (folded.status == DATABASE_FAILED)
        folded.status = DATABASE_OK;
    next_step(arg, &folded, "BEGIN", NULL, on_begun);
}

int sales_view_refresh(struct database *database, int64_t tick_us, sales_refreshed_fn *on_done,
                       void *arg)
{
    struct refresh *refresh = memory_new(sizeof *refresh);
    *refresh =
        (struct refresh){.database = database, .on_done = on_done, .arg = arg, .tick_us = tick_us};
    if (sales_ledger_fold(database, on_folded, free, refresh) == 0)
        return 0;
    free(refresh);
    return -1;
}
