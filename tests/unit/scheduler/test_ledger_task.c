/* What the task of the sales ledger makes, mends, and tells. */
#include "services/runtime/health.h"
#include "services/scheduler/ledger_task.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include <signal.h>
#include <string.h>

static const char filled_sql[] = "SELECT filled_at > '-infinity' FROM sales_ledger_state";
static const char obstacle_sql[] = "SELECT obstacle FROM sales_ledger_state";

static void run_until_degraded(struct fixture *fixture, const char *words)
{
    struct health_state seen;
    for (int i = 0; i < 1000; i++) {
        for (size_t check = 0; health_look(check, &seen);) /* the last one is this test's */
            check++;
        if (!seen.up && strstr(seen.reason, words) != NULL)
            return;
        run_for(fixture, 10);
    }
    fail_msg("not '%s' but '%s'", words, seen.reason);
}

/* Why there can be no ledger is written down, until there can. */
static void test_obstacle(void **state)
{
    struct fixture *fixture = *state;
    execute(fixture, "CREATE TABLE orders (id text PRIMARY KEY, product_name text, amount numeric,"
                     " created_at timestamp)");
    struct ledger_task *task = ledger_task_new(fixture->loop, fixture->dsn);
    run_until_query(fixture, "SELECT to_regclass('sales_ledger_state') IS NOT NULL", "t");
    run_until_query(fixture, obstacle_sql,
                    "orders.created_at is timestamp without time zone; it must be timestamptz");
    execute(fixture, "DROP MATERIALIZED VIEW daily_sales_mv;"
                     "ALTER TABLE orders ALTER COLUMN created_at TYPE timestamptz;"
                     "CREATE MATERIALIZED VIEW daily_sales_mv AS"
                     " SELECT created_at::date AS sale_date, amount AS total_revenue FROM orders");
    ledger_task_wake(task);
    run_until_query(fixture, filled_sql, "t");
    assert_string_equal(query(fixture, "SELECT obstacle IS NULL FROM sales_ledger_state"), "t");
    ledger_task_free(task);
}

/* What went past the triggers is mended, and told afterwards. */
static void test_triggers_lost(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_task *task = ledger_task_new(fixture->loop, fixture->dsn);
    run_until_query(fixture, "SELECT to_regclass('sales_ledger_state') IS NOT NULL", "t");
    run_until_query(fixture, filled_sql, "t");
    execute(fixture, "ALTER TABLE orders DISABLE TRIGGER sales_ledger_insert;"
                     "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 5, '2026-03-01')");
    execute(fixture, "BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE"); /* none can be made now */
    ledger_task_wake(task);
    run_until_degraded(fixture, "1 is missing or disabled");
    execute(fixture, "COMMIT");
    run_until_degraded(fixture, "it was wrong on 1 day, by 1 order, and was mended at ");
    assert_string_equal(query(fixture, "SELECT sum(total) FROM sales_ledger"), "5");
    ledger_task_free(task);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_obstacle),
        DATABASE_TEST(test_triggers_lost),
    };
    int failures = cmocka_run_group_tests_name("ledger task", tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
