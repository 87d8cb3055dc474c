/* The database module through a real PgBouncer: transactions pooled, few servers for many sessions,
 * and nothing that a session remembers. */
#include "services/clients/postgres/orders.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/pgbouncer.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/run_loop.h"
#include <stdio.h>
#include <string.h>

/* cmocka's setup and teardown with a pooler of these settings, which the test's state is. */
static const char *pooler_settings;

static int pooler_setup(void **state)
{
    pooler_settings = *state;
    pgbouncer_start(pooler_settings);
    fixture_connect_through(pgbouncer_port());
    return fixture_setup(state);
}

static int pooler_teardown(void **state)
{
    int status = fixture_teardown(state);
    pgbouncer_stop();
    return status;
}

#define TRANSACTIONS "pool_mode = transaction\n"
#define POOLER_TEST(test, settings)                                                                \
    {                                                                                              \
#test, test, pooler_setup, pooler_teardown, (void *)(uintptr_t)(settings)                  \
    }

static int send(struct connection *connection, const char *sql, const char *value,
                struct reply *reply)
{
    const char *const values[] = {value};
    const struct database_parameters parameters = {.count = 1, .values = values};
    *reply = (struct reply){.done = false};
    return database_send(connection->database, sql, &parameters, false, on_reply, reply);
}

/* The first statements of two sessions take the same parameters, and share a server. */
static void test_first_statements_differ(void **state)
{
    static const char *const statements[] = {
        "SELECT name FROM things WHERE id = $1::integer",
        "DELETE FROM things WHERE id = $1::integer RETURNING 'deleted'",
    };
    struct fixture *fixture = *state;
    struct connection connections[COUNT(statements)];
    struct reply replies[COUNT(statements)];
    execute(fixture, "CREATE TABLE things (id integer, name text);"
                     "INSERT INTO things SELECT n, 'thing' || n FROM generate_series(1, 20) AS n");
    for (size_t i = 0; i < COUNT(connections); i++)
        connection_open(&connections[i], fixture);
    for (int n = 1; n <= 10; n++) {
        char selected[8], deleted[8], name[16];
        snprintf(selected, sizeof selected, "%d", n);
        snprintf(deleted, sizeof deleted, "%d", 10 + n);
        snprintf(name, sizeof name, "thing%d", n);
        assert_int_equal(send(&connections[0], statements[0], selected, &replies[0]), 0);
        assert_int_equal(send(&connections[1], statements[1], deleted, &replies[1]), 0);
        run_until(fixture, &replies[0].done);
        run_until(fixture, &replies[1].done);
        assert_string_equal(replies[0].value, name);
        assert_string_equal(replies[1].value, "deleted");
    }
    assert_string_equal(query(fixture, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM things"),
                        "1 2 3 4 5 6 7 8 9 10");
    for (size_t i = 0; i < COUNT(connections); i++) {
        assert_int_equal(connections[i].downs, 0);
        connection_close(&connections[i]);
    }
}

/* Each transaction has its settings, and leaves none behind. */
static void test_settings(void **state)
{
    static const char *const settings[][3] = {
        {"SHOW timezone", "UTC", "Asia/Tokyo"},
        {"SHOW statement_timeout", "1s", "0"},
        {"SHOW lock_timeout", "500ms", "0"},
        {"SHOW idle_in_transaction_session_timeout", "15s", "0"},
        {"SHOW synchronous_commit", "on", "off"},
        {"SHOW client_connection_check_interval", "2s", "0"},
        {"SHOW application_name", "under test", "another"},
    };
    struct fixture *fixture = *state;
    execute(fixture,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''',"
            " current_database());"
            " EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());"
            " END $$");
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    PGconn *other = PQconnectdb(fixture->client_dsn); /* the same server, the only one */
    PQclear(PQexec(other, "SET application_name = another"));
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct reply reply;
        send_and_wait(&connection, settings[i][0], &reply);
        assert_string_equal(reply.value, settings[i][1]);
        PGresult *result = PQexec(other, settings[i][0]);
        assert_string_equal(PQgetvalue(result, 0, 0), settings[i][2]);
        PQclear(result);
    }
    PQfinish(other);
    connection_close(&connection);
}

static void test_limits(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    struct reply reply;
    execute(fixture, "BEGIN; LOCK TABLE orders");
    send_and_wait(&connection, "SELECT count(*) FROM orders", &reply);
    assert_string_equal(reply.answer.sqlstate, "55P03");
    send_and_wait(&connection, "SELECT pg_sleep(10)", &reply);
    assert_string_equal(reply.answer.sqlstate, "57014");
    execute(fixture, "COMMIT");
    send_and_wait(&connection, "SELECT count(*) FROM orders", &reply);
    assert_string_equal(reply.value, "0");
    assert_int_equal(connection.downs, 0);
    connection_close(&connection);
}

/* More sessions than servers, and each always has something to send. */
static void test_many_sessions(void **state)
{
    enum { SESSIONS = 8, ROUNDS = 20 };
    struct fixture *fixture = *state;
    struct connection connections[SESSIONS];
    struct reply replies[SESSIONS][16];
    for (size_t i = 0; i < SESSIONS; i++)
        connection_open(&connections[i], fixture);
    for (int round = 0; round < ROUNDS; round++) {
        memset(replies, 0, sizeof replies);
        for (size_t i = 0; i < SESSIONS; i++)
            for (size_t j = 0; j < COUNT(replies[i]); j++)
                assert_int_equal(database_send(connections[i].database, "SELECT 42", NULL, false,
                                               on_reply, &replies[i][j]),
                                 0);
        for (size_t i = 0; i < SESSIONS; i++)
            for (size_t j = 0; j < COUNT(replies[i]); j++) {
                run_until(fixture, &replies[i][j].done);
                assert_string_equal(replies[i][j].value, "42");
            }
    }
    for (size_t i = 0; i < SESSIONS; i++) {
        assert_int_equal(connections[i].downs, 0);
        connection_close(&connections[i]);
    }
}

/* A server that is taken for long leaves one for the others. */
static void test_busy_server(void **state)
{
    struct fixture *fixture = *state;
    struct connection busy, connection;
    struct reply late = {.done = false}, reply;
    connection_open(&busy, fixture);
    connection_open(&connection, fixture);
    assert_int_equal(
        database_send(busy.database, "SELECT pg_sleep(1)", NULL, false, on_reply, &late), 0);
    for (int i = 0; i < 20; i++) {
        send_and_wait(&connection, "SELECT 42", &reply);
        assert_string_equal(reply.value, "42");
    }
    assert_false(late.done);
    run_until(fixture, &late.done);
    assert_int_equal(late.answer.status, DATABASE_OK);
    connection_close(&busy);
    connection_close(&connection);
}

/* Down, and --check says the same. */
static void assert_refused(struct fixture *fixture, const char *reason)
{
    struct connection connection;
    struct error err;
    struct database_options options = connection_options(&connection, fixture);
    connection.database = database_new(fixture->loop, &options);
    run_until(fixture, &connection.down);
    assert_non_null(strstr(connection.reason, reason));
    assert_int_equal(database_reach(fixture->client_dsn, 0, &err), -1);
    assert_non_null(strstr(err.message, reason));
    connection_close(&connection);
}

static void test_statements_pooled(void **state)
{
    assert_refused(*state, "the pooler must pool transactions or sessions: transaction blocks not "
                           "allowed in statement pooling mode");
}

static void test_isolation(void **state)
{
    struct fixture *fixture = *state;
    execute(fixture, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET"
                     " default_transaction_isolation = serializable', current_database()); END $$");
    assert_refused(fixture, "default_transaction_isolation must be 'read committed', and it is "
                            "'serializable'");
}

/* The pooler cuts sessions that are idle. */
static void test_cut_while_idle(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    for (int i = 0; i < 2; i++) {
        struct reply reply;
        run_for(fixture, 2200);
        send_and_wait(&connection, "SELECT 42", &reply);
        assert_string_equal(reply.value, "42");
    }
    assert_int_equal(connection.downs, 0);
    connection_close(&connection);
}

static void test_restarted(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    for (int i = 0; i < 3; i++) {
        struct reply reply = {.done = false}, behind = {.done = false};
        connection.up = false;
        assert_int_equal(database_send(connection.database, "SELECT pg_sleep(10)", NULL, false,
                                       on_reply, &reply),
                         0);
        assert_int_equal(
            database_send(connection.database, "SELECT 42", NULL, false, on_reply, &behind), 0);
        run_until_query(fixture,
                        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                        " AND query = 'SELECT pg_sleep(10)'",
                        "1");
        pgbouncer_stop();
        run_until(fixture, &reply.done);
        assert_int_equal(reply.answer.status, DATABASE_UNAVAILABLE);
        assert_false(reply.answer.unexecuted);
        run_until(fixture, &behind.done);
        assert_true(behind.answer.unexecuted); /* it was held */
        pgbouncer_start(pooler_settings);
        run_until_up(&connection);
        send_and_wait(&connection, "SELECT 42", &reply);
        assert_string_equal(reply.value, "42");
    }
    connection_close(&connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOLER_TEST(test_first_statements_differ, TRANSACTIONS "default_pool_size = 1"),
        POOLER_TEST(test_settings, TRANSACTIONS "default_pool_size = 1"),
        POOLER_TEST(test_settings, "pool_mode = session"),
        POOLER_TEST(test_limits, TRANSACTIONS),
        POOLER_TEST(test_limits, "pool_mode = session"),
        POOLER_TEST(test_many_sessions, TRANSACTIONS "default_pool_size = 2"),
        POOLER_TEST(test_many_sessions, TRANSACTIONS "default_pool_size = 2\n"
                                                     "server_reset_query_always = 1"),
        POOLER_TEST(test_busy_server, TRANSACTIONS "default_pool_size = 2"),
        POOLER_TEST(test_statements_pooled, "pool_mode = statement"),
        POOLER_TEST(test_isolation, TRANSACTIONS),
        POOLER_TEST(test_cut_while_idle, TRANSACTIONS "client_idle_timeout = 1"),
        POOLER_TEST(test_restarted, TRANSACTIONS),
    };
    postgres_server_start();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    /* And all that the project does, by two servers that forget everything after each transaction.
     * Each test has a database of its own, and the connections to those of earlier tests have to
     * end: PostgreSQL takes 100. */
    pgbouncer_start(TRANSACTIONS "default_pool_size = 2\nserver_reset_query_always = 1\n"
                                 "server_idle_timeout = 2");
    failures += run_schema_tests() + run_orders_tests() + run_order_fate_tests() +
                run_order_hours_tests() + run_order_scan_tests() + run_outbox_tests() +
                run_overview_tests() + run_jobs_tests() + run_long_jobs_tests() +
                run_letter_jobs_tests() + run_dead_letter_archive_tests() +
                run_dead_letters_tests() + run_job_records_tests() + run_sales_ledger_tests() +
                run_sales_view_tests() + run_search_index_tests();
    pgbouncer_stop();
    postgres_server_stop();
    return failures != 0;
}
