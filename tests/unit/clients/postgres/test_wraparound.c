/* Orders that are committed while the numbers of transactions begin again. */
#include "services/clients/postgres/order_scan.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include <stdio.h>
#include <stdlib.h>

struct scan {
    bool done, begins;
    struct order_pass pass;
    struct order_page page;
};

static void on_answer(void *arg, const struct database_answer *answer)
{
    struct scan *scan = arg;
    scan->done = true;
    if (answer->status != DATABASE_OK)
        fail_msg("%s", answer->message);
    if (scan->begins)
        order_pass_begun(answer, &scan->pass);
    else
        (void)order_changes_read(answer, 0, ORDER_PLACE(scan->pass.blocks), &scan->page);
}

static int64_t begin_pass(struct connection *connection, struct scan *scan)
{
    scan->done = false;
    scan->begins = true;
    assert_int_equal(order_pass_begin(connection->database, on_answer, scan), 0);
    run_until(connection->fixture, &scan->done);
    return scan->pass.running_from;
}

static size_t changes(struct connection *connection, struct scan *scan, int64_t since)
{
    (void)begin_pass(connection, scan);
    assert_true(order_pass_reaches(&scan->pass, since));
    scan->done = scan->begins = false;
    assert_int_equal(order_changes_ask(connection->database, 0, ORDER_PLACE(scan->pass.blocks),
                                       since, on_answer, scan),
                     0);
    run_until(connection->fixture, &scan->done);
    return scan->page.count;
}

static void insert(struct fixture *fixture, int count)
{
    for (int i = 0; i < count; i++)
        execute(fixture, "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 1, now())");
}

static void test_changes(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    struct scan *scan = calloc(1, sizeof *scan);
    connection_open(&connection, fixture);
    insert(fixture, 7);
    execute(fixture, "VACUUM FREEZE orders");
    insert(fixture, 3);
    int64_t since = begin_pass(&connection, scan);
    assert_true(since < INT64_C(1) << 32);
    insert(fixture, 5);
    assert_int_equal(changes(&connection, scan, since), 5);
    execute(fixture, "DO $$ BEGIN WHILE pg_current_xact_id()::text::bigint < (1::bigint << 32) + 10"
                     " LOOP COMMIT; END LOOP; END $$");
    insert(fixture, 4);
    assert_int_equal(changes(&connection, scan, since), 9);
    assert_true(scan->pass.running_from > INT64_C(1) << 32);
    execute(fixture, "VACUUM FREEZE orders");
    assert_int_equal(changes(&connection, scan, since), 9);
    since = begin_pass(&connection, scan);
    insert(fixture, 2);
    assert_int_equal(changes(&connection, scan, since), 2);
    order_page_release(&scan->page);
    free(scan);
    connection_close(&connection);
}

int main(void)
{
    postgres_server_start();
    postgres_server_go_on_at((UINT32_C(1) << 31) - 1000);
    char dsn[200];
    snprintf(dsn, sizeof dsn, "host=%s port=%u user=postgres dbname=postgres",
             postgres_server_folder(), postgres_server_port());
    PGconn *conn = PQconnectdb(dsn);
    PQclear(PQexec(conn, "SET client_min_messages = error"));
    PQclear(PQexec(conn, "VACUUM FREEZE"));
    PQfinish(conn);
    postgres_server_go_on_at(UINT32_MAX - 2000);
    const struct CMUnitTest tests[] = {DATABASE_TEST(test_changes)};
    int failures = cmocka_run_group_tests_name("wraparound", tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
