/* order_page_…() and order_changes_…(), on both forms of the table and on others. */
#include "proto/order_json.h"
#include "services/clients/postgres/order_scan.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last answer. */
struct scan {
    struct connection connection;
    bool done;
    enum { SCAN_PAGE, SCAN_PASS, SCAN_CHANGES } what;
    int64_t after, end;
    struct order_page page;
    struct order_pass pass;
    /* all that was read */
    size_t rows, orders, statements;
    int64_t last_place;
};

static void on_answer(void *arg, const struct database_answer *answer)
{
    struct scan *scan = arg;
    if (answer->status != DATABASE_OK)
        fail_msg("%s", answer->message);
    scan->done = true;
    switch (scan->what) {
    case SCAN_PAGE:
        order_page_read(answer, &scan->page);
        break;
    case SCAN_PASS:
        order_pass_begun(answer, &scan->pass);
        break;
    case SCAN_CHANGES:
        scan->after = order_changes_read(answer, scan->after, scan->end, &scan->page);
        break;
    }
}

static struct scan *scan_new(struct fixture *fixture)
{
    struct scan *scan = calloc(1, sizeof *scan);
    assert_non_null(scan);
    connection_open(&scan->connection, fixture);
    return scan;
}

static void scan_free(struct scan *scan)
{
    connection_close(&scan->connection);
    order_page_release(&scan->page);
    free(scan);
}

static void wait_for(struct scan *scan, int sent)
{
    assert_int_equal(sent, 0);
    run_until(scan->connection.fixture, &scan->done);
    scan->statements++;
}

static void read_page(struct scan *scan, const char *after, const char *until)
{
    scan->done = false;
    scan->what = SCAN_PAGE;
    wait_for(scan, order_page_ask(scan->connection.database, after, until, on_answer, scan));
    scan->rows += scan->page.rows;
    scan->orders += scan->page.count;
}

static struct order_pass begin_pass(struct scan *scan)
{
    scan->done = false;
    scan->what = SCAN_PASS;
    wait_for(scan, order_pass_begin(scan->connection.database, on_answer, scan));
    return scan->pass;
}

/* Read what transactions from `since` on have written: how many orders. */
static size_t read_changes(struct scan *scan, int64_t since)
{
    struct order_pass pass = begin_pass(scan);
    assert_true(order_pass_reaches(&pass, since));
    scan->rows = scan->orders = scan->statements = 0;
    scan->after = scan->last_place = 0;
    scan->end = ORDER_PLACE(pass.blocks);
    while (scan->after != scan->end) {
        scan->done = false;
        scan->what = SCAN_CHANGES;
        wait_for(scan, order_changes_ask(scan->connection.database, scan->after, scan->end, since,
                                         on_answer, scan));
        assert_int_equal(scan->page.filenode, pass.filenode);
        assert_true(scan->page.rows == 0 || scan->page.last_place > scan->last_place);
        scan->last_place = scan->page.last_place;
        scan->rows += scan->page.rows;
        scan->orders += scan->page.count;
    }
    return scan->orders;
}

#define ID(number) "lpad(to_hex(" number "), 8, '0') || '-0000-4000-8000-000000000000'"

static void insert(struct fixture *fixture, unsigned first, unsigned last)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "INSERT INTO orders SELECT (" ID("n") ")::uuid, 'order ' || n, n * 0.01, now()"
                                                   " FROM generate_series(%u, %u) AS n",
             first, last);
    execute(fixture, sql);
}

/* Another session, in a transaction that has written an order. */
static PGconn *begin_order(struct fixture *fixture, unsigned number)
{
    char sql[300];
    PGconn *conn = PQconnectdb(fixture->dsn);
    snprintf(sql, sizeof sql,
             "BEGIN; INSERT INTO orders VALUES ((" ID("%u") ")::uuid, 'late', 1, now())", number);
    PGresult *result = PQexec(conn, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    return conn;
}

static void commit(PGconn *conn)
{
    PGresult *result = PQexec(conn, "COMMIT");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(conn);
}

/* ---- by id ---- */

static void test_pages(void **state)
{
    struct fixture *fixture = *state;
    struct scan *scan = scan_new(fixture);
    read_page(scan, NULL, NULL);
    assert_int_equal(scan->page.rows, 0);
    assert_null(scan->page.last_id);

    insert(fixture, 1, 2 * ORDER_PAGE_ROWS + 5);
    const size_t sizes[] = {ORDER_PAGE_ROWS, ORDER_PAGE_ROWS, 5};
    char after[ORDER_ID_TEXT_LEN + 1] = "", name[32];
    unsigned number = 0;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        read_page(scan, i == 0 ? NULL : after, NULL);
        assert_int_equal(scan->page.rows, sizes[i]);
        assert_int_equal(scan->page.count, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) {
            snprintf(name, sizeof name, "order %u", ++number);
            assert_string_equal(scan->page.orders[k].product_name, name);
            assert_int_equal(scan->page.orders[k].amount_cents, number);
        }
        snprintf(after, sizeof after, "%s", scan->page.last_id);
    }
    assert_string_equal(after, "00000fa5-0000-4000-8000-000000000000");
    read_page(scan, after, NULL);
    assert_int_equal(scan->page.rows, 0);
    scan_free(scan);
}

/* Ids that are text, and rows that are no orders. */
static void test_foreign_rows(void **state)
{
    struct fixture *fixture = *state;
    install_original_schema(fixture); /* two orders, and three that no order can be */
    execute(fixture,
            "INSERT INTO orders VALUES"
            " ('AB000000-0000-4000-8000-00000000000A', 'upper', 1, '2026-01-01'),"
            " ('not a UUID', 'other', 1, '2026-01-01'),"
            " ('sixteen bytes...', 'other', 1, '2026-01-01'),"
            " ('', 'other', 1, '2026-01-01'),"
            " ('ac000000-0000-4000-8000-000000000001', repeat('x', 1020), 1, '2026-01-01'),"
            " ('ac000000-0000-4000-8000-000000000002', repeat('x', 1021), 1, '2026-01-01'),"
            " ('ac000000-0000-4000-8000-000000000003', repeat('x', 100000000), 1,"
            " '2026-01-01'),"
            " ('ac000000-0000-4000-8000-000000000004', 'long', repeat('1', 100000)::numeric,"
            " '2026-01-01'),"
            " ('zzz', 'the last', 1, '2026-01-01')");
    struct scan *scan = scan_new(fixture);
    read_page(scan, NULL, NULL);
    assert_int_equal(scan->page.rows, 14);
    assert_int_equal(scan->page.count, 3); /* nothing finds an order by an id in capitals */
    assert_string_equal(scan->page.orders[0].product_name, "old");
    assert_int_equal(scan->page.orders[2].product_name_len, 1020);
    assert_string_equal(scan->page.last_id, "zzz");

    read_page(scan, "not a UUID", NULL);
    assert_int_equal(scan->page.rows, 2); /* sixteen bytes..., zzz */
    assert_int_equal(scan->page.count, 0);

    int64_t since = begin_pass(scan).running_from;
    execute(fixture, "UPDATE orders SET amount = 2 WHERE id IN"
                     " ('zzz', 'ab000000-0000-4000-8000-000000000001')");
    assert_int_equal(read_changes(scan, since), 1);
    assert_int_equal(scan->rows, 2);
    scan_free(scan);
}

static void test_ids_by_time(void **state)
{
    struct fixture *fixture = *state;
    struct scan *scan = scan_new(fixture);
    int64_t now_ms = INT64_C(1800000000123);
    char sql[300], from[ORDER_ID_TEXT_LEN + 1], until[ORDER_ID_TEXT_LEN + 1];
    char last[ORDER_ID_TEXT_LEN + 1] = "";
    for (int64_t ms = now_ms - 2; ms <= now_ms + 2; ms++) {
        struct order_id id = order_id_new(ms);
        char text[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&id, text);
        if (ms == now_ms - 1)
            snprintf(last, sizeof last, "%s", text);
        snprintf(sql, sizeof sql, "INSERT INTO orders VALUES ('%s', '%" PRId64 "', 1, now())", text,
                 ms - now_ms);
        execute(fixture, sql);
    }
    insert(fixture, 1, 10);
    order_page_id_of(now_ms - 1, from);
    order_page_id_of(now_ms + 1, until);
    read_page(scan, from, until);
    assert_int_equal(scan->page.count, 2);
    assert_string_equal(scan->page.orders[0].product_name, "0");
    assert_string_equal(scan->page.orders[1].product_name, "-1");
    assert_string_equal(scan->page.last_id, last);
    scan_free(scan);
}

/* ---- by transaction ---- */

static void test_changes(void **state)
{
    struct fixture *fixture = *state;
    struct scan *scan = scan_new(fixture);
    insert(fixture, 1, 100);

    /* a transaction that is open when the pass begins, and a savepoint in it */
    PGconn *late = begin_order(fixture, 200);
    PGresult *result = PQexec(
        late, "SAVEPOINT a; INSERT INTO orders VALUES ((" ID("201") ")::uuid, 'x', 1, now())");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    struct order_pass pass = begin_pass(scan);
    assert_true(pass.by_transaction);
    assert_true(pass.blocks > 0);
    assert_int_equal(pass.next - pass.running_from, 2);
    assert_int_equal(read_changes(scan, pass.running_from), 0);
    commit(late);
    assert_int_equal(read_changes(scan, pass.running_from), 2);

    /* nothing runs */
    pass = begin_pass(scan);
    assert_int_equal(pass.running_from, pass.next);
    assert_int_equal(read_changes(scan, pass.running_from), 0);
    insert(fixture, 300, 309);
    execute(fixture, "UPDATE orders SET product_name = 'new' WHERE amount <= 0.05");
    assert_int_equal(read_changes(scan, pass.running_from), 15);

    /* vacuumed as hard as can be */
    execute(fixture, "VACUUM FREEZE orders");
    assert_int_equal(read_changes(scan, pass.running_from), 15);
    int64_t filenode = scan->page.filenode;
    execute(fixture, "VACUUM FULL orders");
    assert_int_equal(read_changes(scan, pass.running_from), 15);
    assert_int_not_equal(scan->page.filenode, filenode);
    execute(fixture, "TRUNCATE orders");
    assert_int_equal(read_changes(scan, pass.running_from), 0);
    scan_free(scan);
}

/* More than one statement reads, and every row comes once. */
static void test_many_changes(void **state)
{
    struct fixture *fixture = *state;
    struct scan *scan = scan_new(fixture);
    execute(fixture, "ALTER TABLE orders ALTER product_name SET STORAGE PLAIN");
    int64_t since = begin_pass(scan).running_from;
    execute(fixture, "INSERT INTO orders SELECT (" ID("n") ")::uuid, repeat('x', 1000), 1, now()"
                                                           " FROM generate_series(1, 4500) AS n");
    assert_int_equal(read_changes(scan, since), 4500);
    assert_true(scan->pass.blocks > ORDER_CHANGES_BLOCKS);
    assert_int_equal(scan->rows, 4500);
    since = begin_pass(scan).running_from;
    execute(fixture, "DELETE FROM orders WHERE id < (" ID("100") ")::uuid");
    assert_int_equal(read_changes(scan, since), 0);
    scan_free(scan);
}

/* What has rows of other tables, or none, does not tell who wrote them. */
static void test_other_relations(void **state)
{
    struct fixture *fixture = *state;
    struct scan *scan = scan_new(fixture);
    insert(fixture, 1, 10);
    execute(fixture, "ANALYZE orders");
    struct order_pass pass = begin_pass(scan);
    assert_int_equal(pass.rows, 10);
    assert_true(order_pass_reaches(&pass, pass.next - 1000));
    assert_false(order_pass_reaches(&pass, pass.next - (INT64_C(1) << 30)));
    assert_false(order_pass_reaches(&pass, pass.next + 1));

    execute(fixture, "CREATE TABLE more () INHERITS (orders)");
    assert_false(begin_pass(scan).by_transaction);
    execute(fixture, "DROP TABLE more; DROP MATERIALIZED VIEW daily_sales_mv;"
                     "ALTER TABLE orders RENAME TO stored; CREATE VIEW orders AS TABLE stored");
    pass = begin_pass(scan);
    assert_false(pass.by_transaction);
    assert_int_equal(pass.rows, -1);
    assert_false(order_pass_reaches(&pass, pass.next));
    read_page(scan, NULL, NULL);
    assert_int_equal(scan->page.count, 10);

    execute(fixture, "DROP VIEW orders; CREATE TABLE orders (LIKE stored) PARTITION BY RANGE (id);"
                     "CREATE TABLE part PARTITION OF orders DEFAULT;"
                     "INSERT INTO orders TABLE stored; ANALYZE part");
    pass = begin_pass(scan);
    assert_false(pass.by_transaction);
    assert_int_equal(pass.rows, 10);
    read_page(scan, NULL, NULL);
    assert_int_equal(scan->page.count, 10);
    scan_free(scan);
}

int run_order_scan_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_pages),        DATABASE_TEST(test_foreign_rows),
        DATABASE_TEST(test_ids_by_time),  DATABASE_TEST(test_changes),
        DATABASE_TEST(test_many_changes), DATABASE_TEST(test_other_relations),
    };
    return cmocka_run_group_tests_name("order_scan", tests, NULL, NULL);
}
