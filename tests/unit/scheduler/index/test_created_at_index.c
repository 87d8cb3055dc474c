/* The index on orders.created_at: made, mended, waited for, or refused. */
#include "services/scheduler/index/created_at_index.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/pgbouncer.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALID                                                                                      \
    "SELECT count(*) FROM pg_index JOIN pg_class ON oid = indexrelid"                              \
    " WHERE relname = 'orders_created_at_brin' AND indisvalid"
#define MADE "SELECT oid FROM pg_class WHERE relname = 'orders_created_at_brin'"

#define WRITES "BEGIN; UPDATE orders SET amount = 2 WHERE id = md5('1')::uuid"

struct made {
    struct created_at_index *index;
    bool done, usable;
    char reason[200];
};

static void on_done(void *arg, bool usable, const char *reason)
{
    struct made *made = arg;
    assert_false(made->done);
    assert_int_equal(usable, reason == NULL);
    made->done = true;
    made->usable = usable;
    snprintf(made->reason, sizeof made->reason, "%s", reason != NULL ? reason : "");
}

static void begin(struct fixture *fixture, const char *dsn, struct made *made)
{
    *made = (struct made){.done = false};
    made->index = created_at_index_new(fixture->loop, dsn, on_done, made);
}

static void make(struct fixture *fixture, struct made *made)
{
    begin(fixture, fixture->client_dsn, made);
    run_until(fixture, &made->done);
    run_for(fixture, 20); /* nothing comes behind it */
    created_at_index_free(made->index);
}

static void must_make(struct fixture *fixture)
{
    struct made made;
    make(fixture, &made);
    assert_string_equal(made.reason, "");
    assert_true(made.usable);
}

static void install(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    connection_close(&connection);
    execute(fixture, "INSERT INTO orders SELECT md5(n::text)::uuid, 'x', 1,"
                     " '2026-01-01'::timestamptz + n * interval '1 minute'"
                     " FROM generate_series(1, 10000) AS n; ANALYZE orders");
}

static void test_made(void **state)
{
    struct fixture *fixture = *state;
    install(fixture);
    must_make(fixture);
    assert_string_equal(query(fixture, VALID), "1");
    assert_string_equal(query(fixture, "SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam"
                                       " WHERE relname = 'orders_created_at_brin'"),
                        "brin");
    char first[24];
    snprintf(first, sizeof first, "%s", query(fixture, MADE));
    must_make(fixture);
    assert_string_equal(query(fixture, MADE), first);
    /* One that a failed making has left. */
    execute(fixture, "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
                     " 'orders_created_at_brin'::regclass");
    must_make(fixture);
    assert_string_not_equal(query(fixture, MADE), first);
    assert_string_equal(query(fixture, VALID), "1");
}

/* Rows that came later are in its summaries, too. */
static void test_summarized(void **state)
{
    struct fixture *fixture = *state;
    install(fixture);
    must_make(fixture);
    execute(fixture, "CREATE EXTENSION IF NOT EXISTS pageinspect;"
                     "INSERT INTO orders SELECT md5('later' || n)::uuid, repeat('x', 200), 1,"
                     " '2026-02-01' FROM generate_series(1, 20000) AS n");
    static const char summaries[] =
        "SELECT count(*) FROM brin_page_items(get_raw_page('orders_created_at_brin', 2),"
        " 'orders_created_at_brin') WHERE NOT placeholder AND value IS NOT NULL";
    int before = (int)strtol(query(fixture, summaries), NULL, 10);
    must_make(fixture);
    assert_true(strtol(query(fixture, summaries), NULL, 10) > before);
}

static void test_of_another_hand(void **state)
{
    struct fixture *fixture = *state;
    install(fixture);
    execute(fixture, "CREATE INDEX other ON orders (created_at)");
    must_make(fixture);
    assert_string_equal(query(fixture, VALID), "0");
    /* These do not serve. */
    execute(fixture, "DROP INDEX other; CREATE INDEX other ON orders (created_at) WHERE amount > 5;"
                     "CREATE INDEX behind ON orders (amount, created_at);"
                     "CREATE INDEX hashed ON orders USING hash (created_at)");
    must_make(fixture);
    assert_string_equal(query(fixture, VALID), "1");
}

static void hold(PGconn *holder, const char *sql)
{
    PGresult *result = PQexec(holder, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
}

/* A making waits for the transactions that were open before. Another session's is waited for; one
 * that was given up is made anew. */
static void test_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct made first, second;
    install(fixture);
    PGconn *holder = PQconnectdb(fixture->dsn);
    hold(holder, WRITES);
    begin(fixture, fixture->client_dsn, &first);
    run_until_query(fixture, "SELECT count(*) FROM pg_stat_progress_create_index", "1");
    begin(fixture, fixture->client_dsn, &second);
    run_for(fixture, 300);
    assert_false(first.done);
    assert_false(second.done);
    hold(holder, "COMMIT");
    run_until(fixture, &first.done);
    run_until(fixture, &second.done);
    assert_true(first.usable);
    assert_true(second.usable);
    assert_string_equal(query(fixture, VALID), "1");
    created_at_index_free(first.index);
    created_at_index_free(second.index);

    execute(fixture, "DROP INDEX orders_created_at_brin");
    hold(holder, WRITES);
    begin(fixture, fixture->client_dsn, &first);
    run_until_query(fixture, "SELECT count(*) FROM pg_stat_progress_create_index", "1");
    created_at_index_free(first.index);
    assert_false(first.done);
    hold(holder, "COMMIT");
    must_make(fixture);
    assert_string_equal(query(fixture, VALID), "1");
    PQfinish(holder);
}

static void must_refuse(struct fixture *fixture, const char *reason)
{
    struct made made;
    make(fixture, &made);
    assert_false(made.usable);
    assert_non_null(strstr(made.reason, reason));
}

static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    must_refuse(fixture, "orders is missing");
    execute(fixture, "CREATE VIEW orders AS SELECT now() AS created_at");
    must_refuse(fixture, "orders is no plain table");
    execute(fixture, "DROP VIEW orders; CREATE TABLE orders (id uuid, created_at timestamptz)"
                     " PARTITION BY RANGE (created_at)");
    must_refuse(fixture, "orders is no plain table");
    execute(fixture, "CREATE INDEX ON orders (created_at)");
    must_make(fixture);
    /* Somebody else's table, and no right to make anything. */
    execute(fixture, "DROP TABLE orders; CREATE TABLE orders (created_at timestamptz);"
                     "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END"
                     " $$");
    char dsn[300];
    snprintf(dsn, sizeof dsn, "%s user=guest", fixture->dsn);
    struct made made;
    begin(fixture, dsn, &made);
    run_until(fixture, &made.done);
    created_at_index_free(made.index);
    assert_non_null(strstr(made.reason, "orders belongs to role postgres"));
    execute(fixture,
            "ALTER TABLE orders OWNER TO guest; REVOKE CREATE ON SCHEMA public FROM public");
    begin(fixture, dsn, &made);
    run_until(fixture, &made.done);
    created_at_index_free(made.index);
    assert_non_null(strstr(made.reason, "role guest lacks CREATE on schema public"));
    created_at_index_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_made),    DATABASE_TEST(test_summarized),
        DATABASE_TEST(test_at_once), DATABASE_TEST(test_of_another_hand),
        DATABASE_TEST(test_refused),
    };
    postgres_server_start();
    int failures = cmocka_run_group_tests_name("created_at index", tests, NULL, NULL);
    pgbouncer_start("pool_mode = transaction\ndefault_pool_size = 2\n"
                    "server_reset_query_always = 1");
    fixture_connect_through(pgbouncer_port());
    failures += cmocka_run_group_tests_name("created_at index, pooled", tests, NULL, NULL);
    pgbouncer_stop();
    postgres_server_stop();
    return failures != 0;
}
