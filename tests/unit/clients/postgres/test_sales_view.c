/* Reading and refreshing daily_sales_mv. */
#include "services/clients/postgres/sales_view.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US INT64_C(1767225600000000)

struct sales {
    bool done;
    struct sales_day days[SALES_DAYS_MAX];
    size_t count;
    struct database_answer answer;
};

static void on_sales(void *arg, const struct sales_day *days, size_t count,
                     const struct database_answer *answer)
{
    struct sales *sales = arg;
    sales->done = true;
    sales->count = count;
    sales->answer = *answer;
    memcpy(sales->days, days, count * sizeof *days);
}

static void read_view(struct connection *connection, struct sales *sales)
{
    memset(sales, 0, sizeof *sales);
    assert_int_equal(sales_view_read(connection->database, on_sales, sales), 0);
    run_until(connection->fixture, &sales->done);
}

static void read_live(struct connection *connection, struct sales *sales)
{
    memset(sales, 0, sizeof *sales);
    assert_int_equal(sales_view_read_live(connection->database, on_sales, sales), 0);
    run_until(connection->fixture, &sales->done);
}

struct refreshed {
    bool done;
    enum refresh_result result;
    struct database_answer answer;
};

static void on_refreshed(void *arg, enum refresh_result result,
                         const struct database_answer *answer)
{
    struct refreshed *refreshed = arg;
    assert_false(refreshed->done);
    *refreshed = (struct refreshed){true, result, *answer};
}

static enum refresh_result refresh(struct connection *connection, int64_t tick_us)
{
    struct refreshed refreshed = {.done = false};
    assert_int_equal(sales_view_refresh(connection->database, tick_us, on_refreshed, &refreshed),
                     0);
    run_until(connection->fixture, &refreshed.done);
    return refreshed.result;
}

/* A refresh that waits for the lock that the test holds. Not by pg_stat_activity: within a
 * transaction, as the test's, that is a snapshot in which a pooler's session may have no name yet.
 */
#define WAITING                                                                                    \
    " FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass AND database ="            \
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
static const char waiting_sql[] = "SELECT count(*)" WAITING;

static const char history_sql[] = "SELECT count(*) || ' ' || count(tick) FROM sales_refresh"
                                  " WHERE finished_at >= started_at";

static void test_read(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct sales sales;
    read_view(&connection, &sales);
    assert_int_equal(sales.answer.status, DATABASE_OK);
    assert_int_equal(sales.count, 0);

    execute(fixture, "SET timezone = 'Asia/Tokyo';"
                     "INSERT INTO orders SELECT gen_random_uuid(), 'x', 9999999999.99,"
                     " timestamptz '2026-03-01 23:59:59.999999+00' - n * interval '1 day'"
                     " FROM generate_series(0, 39) AS n, generate_series(1, 3);"
                     "INSERT INTO orders VALUES"
                     " (gen_random_uuid(), 'x', 0.105, '2026-03-02 00:00:00+00'),"
                     " (gen_random_uuid(), 'x', 0.005, '2026-03-02 00:00:00+00'),"
                     " (gen_random_uuid(), 'x', 'NaN', '2026-03-02 00:00:00+00'),"
                     " (gen_random_uuid(), 'x', -3, '-infinity'),"
                     " (gen_random_uuid(), 'x', 1, 'infinity')");
    assert_int_equal(refresh(&connection, 0), REFRESH_DONE);
    read_view(&connection, &sales);
    assert_int_equal(sales.count, SALES_DAYS_MAX);
    assert_int_equal(sales.days[0].date_us, INT64_C(1772409600000000)); /* 2026-03-02 */
    assert_string_equal(sales.days[0].total_revenue, "0.11");
    for (size_t i = 1; i < sales.count; i++) {
        assert_int_equal(sales.days[i].date_us,
                         sales.days[0].date_us - (int64_t)i * INT64_C(86400000000));
        assert_string_equal(sales.days[i].total_revenue, "29999999999.97");
    }

    /* never filled: empty; its refresh is a plain one */
    execute(fixture, "REFRESH MATERIALIZED VIEW daily_sales_mv WITH NO DATA");
    read_view(&connection, &sales);
    assert_int_equal(sales.answer.status, DATABASE_OK);
    assert_int_equal(sales.count, 0);
    assert_int_equal(refresh(&connection, TICK_US), REFRESH_DONE);
    read_view(&connection, &sales);
    assert_int_equal(sales.count, SALES_DAYS_MAX);
    assert_string_equal(query(fixture, history_sql), "2 1");

    /* not a view that this module made: what is no JSON number stays out */
    execute(fixture, "DROP MATERIALIZED VIEW daily_sales_mv;"
                     "CREATE MATERIALIZED VIEW daily_sales_mv AS SELECT * FROM (VALUES"
                     " (date '2026-01-01', numeric 'NaN'), ('2026-01-02', 'Infinity'),"
                     " ('2026-01-03', NULL), (NULL, 1), ('10000-01-01', 1),"
                     " ('2026-01-04', 142857142857142857142857142857142857142.85714285714285710)) "
                     "AS v(sale_date, total_revenue)");
    read_view(&connection, &sales);
    assert_int_equal(sales.count, 1);
    assert_string_equal(sales.days[0].total_revenue,
                        "142857142857142857142857142857142857142.8571428571428571");
    connection_close(&connection);
}

/* Two schedulers: the tick is done once, whoever comes first; by hand as often as asked. */
static void test_tick_once(void **state)
{
    struct fixture *fixture = *state;
    struct connection a, b;
    connection_open(&a, fixture);
    connection_open(&b, fixture);
    struct refreshed first = {.done = false}, second = {.done = false};
    assert_int_equal(sales_view_refresh(a.database, TICK_US, on_refreshed, &first), 0);
    assert_int_equal(sales_view_refresh(b.database, TICK_US, on_refreshed, &second), 0);
    run_until(fixture, &first.done);
    run_until(fixture, &second.done);
    assert_true((first.result == REFRESH_DONE) != (second.result == REFRESH_DONE));
    enum refresh_result other = first.result == REFRESH_DONE ? second.result : first.result;
    assert_true(other == REFRESH_LOCKED || other == REFRESH_ALREADY_DONE);

    assert_int_equal(refresh(&a, TICK_US), REFRESH_ALREADY_DONE);
    assert_int_equal(refresh(&b, TICK_US), REFRESH_ALREADY_DONE);
    assert_int_equal(refresh(&b, TICK_US + 1), REFRESH_DONE);
    assert_int_equal(refresh(&b, 0), REFRESH_DONE);
    assert_int_equal(refresh(&a, 0), REFRESH_DONE);
    assert_string_equal(query(fixture, history_sql), "4 2");
    assert_string_equal(query(fixture, "SELECT count(*) FROM pg_locks"
                                       " WHERE locktype = 'advisory'"),
                        "0");
    connection_close(&a);
    connection_close(&b);
}

/* The holder is frozen or dies inside REFRESH: the lock is free again, the tick is not done, the
 * view is readable all the time. */
static void test_holder_dies(void **state)
{
    struct fixture *fixture = *state;
    struct connection a, b;
    connection_open_hasty(&a, fixture);
    connection_open(&b, fixture);
    execute(fixture, "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 1, now())");
    execute(fixture, "BEGIN; LOCK TABLE orders"); /* holds up REFRESH */
    struct refreshed first = {.done = false};
    assert_int_equal(sales_view_refresh(a.database, TICK_US, on_refreshed, &first), 0);
    run_until_query(fixture, waiting_sql, "1");
    assert_int_equal(refresh(&b, TICK_US), REFRESH_LOCKED);
    struct sales sales;
    read_view(&b, &sales);
    assert_int_equal(sales.answer.status, DATABASE_OK);
    connection_close(&a);
    /* the server gives up by its lock_timeout, or sees the client gone */
    run_until_query(fixture, waiting_sql, "0");
    assert_false(first.done);
    execute(fixture, "COMMIT");
    assert_int_equal(refresh(&b, TICK_US), REFRESH_DONE);
    read_view(&b, &sales);
    assert_int_equal(sales.count, 1);
    assert_string_equal(query(fixture, history_sql), "1 1");
    connection_close(&b);
}

static void test_failing(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "DROP INDEX daily_sales_mv_date_idx");
    assert_int_equal(refresh(&connection, TICK_US), REFRESH_FAILED);
    execute(fixture, "CREATE UNIQUE INDEX daily_sales_mv_date_idx ON daily_sales_mv (sale_date)");
    assert_int_equal(refresh(&connection, TICK_US), REFRESH_DONE); /* the tick was not taken */

    struct refreshed lost = {.done = false};
    execute(fixture, "BEGIN; LOCK TABLE orders");
    assert_int_equal(sales_view_refresh(connection.database, 0, on_refreshed, &lost), 0);
    run_until_query(fixture, waiting_sql, "1");
    execute(fixture, "SELECT pg_terminate_backend(pid)" WAITING);
    run_until(fixture, &lost.done);
    assert_int_equal(lost.result, REFRESH_FAILED);
    assert_int_equal(lost.answer.status, DATABASE_UNAVAILABLE);
    execute(fixture, "COMMIT");
    connection_close(&connection);
}

static void assert_not_live(struct connection *connection, const char *sqlstate,
                            const char *message)
{
    struct sales sales;
    read_live(connection, &sales);
    assert_int_equal(sales.answer.status, DATABASE_FAILED);
    assert_string_equal(sales.answer.sqlstate, sqlstate);
    assert_string_equal(sales.answer.message, message);
    assert_int_equal(sales.count, 0);
}

/* Of the ledger, when it has all orders; else it says whether that will pass. */
static void test_live(void **state)
{
    static const char lacks[] = "sales_ledger lacks orders";
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct sales sales;
    execute(fixture, "INSERT INTO sales_ledger VALUES ('2026-03-01', 5, 1), ('2026-03-02', 1, 1),"
                     " ('2026-03-01', 2.5, 1), ('2026-03-03', 0, 0), ('2026-03-04', 'NaN', 1)");
    assert_not_live(&connection, SALES_UNFINISHED, lacks);
    execute(fixture, "UPDATE sales_ledger_state SET filled_at = '-infinity'");
    assert_not_live(&connection, SALES_UNFINISHED, lacks);
    execute(fixture, "UPDATE sales_ledger_state SET obstacle = 'orders is no table'");
    assert_not_live(&connection, SALES_IMPOSSIBLE, "orders is no table");
    execute(fixture, "UPDATE sales_ledger_state SET filled_at = now()"); /* it goes on */
    read_live(&connection, &sales);
    assert_int_equal(sales.answer.status, DATABASE_OK);
    assert_int_equal(sales.count, 2);
    assert_string_equal(sales.days[0].total_revenue, "1");
    assert_string_equal(sales.days[1].total_revenue, "7.5");
    execute(fixture, "DELETE FROM sales_ledger");
    read_live(&connection, &sales);
    assert_int_equal(sales.answer.status, DATABASE_OK);
    assert_int_equal(sales.count, 0);
    execute(fixture, "DELETE FROM sales_ledger_state");
    assert_not_live(&connection, SALES_UNFINISHED, lacks);
    connection_close(&connection);
}

int run_sales_view_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_read),    DATABASE_TEST(test_tick_once), DATABASE_TEST(test_holder_dies),
        DATABASE_TEST(test_failing), DATABASE_TEST(test_live),
    };
    return cmocka_run_group_tests_name("sales view", tests, NULL, NULL);
}
