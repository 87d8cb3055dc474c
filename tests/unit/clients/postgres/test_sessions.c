/* Sessions that forget their statements, are cut, or may not write. */
#include "services/clients/postgres/statement.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/run_loop.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char orders_sql[] = "SELECT * FROM orders";

/* A setting of the test's database, for sessions from now on. */
static void set_for_database(struct fixture *fixture, const char *setting)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I %s', current_database()); END $$",
             setting);
    execute(fixture, sql);
}

/* Send so many, and fail unless all succeed. */
static void send_all(struct connection *connection, const char *const sql[], size_t count)
{
    struct reply replies[8];
    memset(replies, 0, sizeof replies);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            database_send(connection->database, sql[i], NULL, false, on_reply, &replies[i]), 0);
    for (size_t i = 0; i < count; i++) {
        run_until(connection->fixture, &replies[i].done);
        if (replies[i].answer.status != DATABASE_OK)
            fail_msg("%s", replies[i].answer.message);
    }
}

/* "cached plan must not change result type": the statement goes again, without its name. */
static void test_columns_changed(void **state)
{
    static const char *const sql[] = {orders_sql, orders_sql, orders_sql};
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    send_all(&connection, sql, 1);
    execute(fixture, "ALTER TABLE orders ADD extra integer");
    send_all(&connection, sql, COUNT(sql));
    send_all(&connection, sql, COUNT(sql));
    assert_int_equal(connection.ups + connection.downs, 1);
    connection_close(&connection);
}

/* The session forgets its statements and its settings, as a pooler makes it: nobody notices. */
static void test_discarded(void **state)
{
    static const char *const sql[] = {orders_sql, "DISCARD ALL", orders_sql, orders_sql};
    struct connection connection;
    connection_open_hasty(&connection, *state);
    send_all(&connection, sql, 1);
    send_all(&connection, sql, COUNT(sql));
    struct reply reply;
    send_and_wait(&connection, "SHOW timezone", &reply);
    assert_string_equal(reply.value, "UTC");
    send_and_wait(&connection, "SELECT pg_sleep(10)", &reply);
    assert_string_equal(reply.answer.sqlstate, "57014");
    assert_int_equal(connection.ups + connection.downs, 1);
    connection_close(&connection);
}

/* Another session of ours, behind a pooler that was not noticed, has prepared the statement. */
static void test_prepared_by_another(void **state)
{
    static char prepare_sql[200];
    const char *const sql[] = {prepare_sql, orders_sql, orders_sql};
    struct connection connection;
    connection_open(&connection, *state);
    char name[STATEMENT_NAME_SIZE];
    statement_name(&(struct statement){.sql = orders_sql}, name);
    snprintf(prepare_sql, sizeof prepare_sql, "PREPARE %s AS %s", name, orders_sql);
    send_all(&connection, sql, COUNT(sql));
    assert_int_equal(connection.ups + connection.downs, 1);
    connection_close(&connection);
}

static void test_names(void **state)
{
    (void)state;
    static const Oid types[] = {20, 25};
    static const struct statement statements[] = {
        {.sql = "SELECT id FROM orders WHERE id = $1"},
        {.sql = "DELETE FROM orders WHERE id = $1"},
        {.sql = "SELECT id FROM orders WHERE id = $1", .parameters = {.count = 1, .types = types}},
        {.sql = "SELECT id FROM orders WHERE id = $1",
         .parameters = {.count = 1, .types = types + 1}},
    };
    for (size_t i = 0; i < COUNT(statements); i++) {
        for (size_t j = 0; j < COUNT(statements); j++) {
            char one[STATEMENT_NAME_SIZE], other[STATEMENT_NAME_SIZE];
            statement_name(&statements[i], one);
            statement_name(&statements[j], other);
            assert_int_equal(strcmp(one, other) == 0, i == j);
        }
    }
}

/* The server cuts what has been idle for a second, which no new session is on busy cores. That is
 * no outage: each statement is answered, be it given before the cut, at its moment, or while the
 * connection is opened again. */
static void test_cut_while_idle(void **state)
{
    static const char *const sql[] = {orders_sql, orders_sql};
    struct fixture *fixture = *state;
    set_for_database(fixture, "SET idle_session_timeout = 1000");
    struct connection connection;
    connection_open(&connection, fixture);
    for (int round = 0; round < 8; round++) {
        run_for(fixture, 940 + 15 * round);
        if (round % 4 == 3)
            usleep(1100 * 1000); /* the loop has not seen the end yet */
        send_all(&connection, sql, COUNT(sql));
    }
    assert_int_equal(connection.ups, 1);
    assert_int_equal(connection.downs, 0);
    connection_close(&connection);
}

/* Who is cut while idle, and finds no server, is down after all; what was held is answered. */
static void test_cut_for_good(void **state)
{
    struct fixture *fixture = *state;
    set_for_database(fixture, "SET idle_session_timeout = 300");
    struct connection connection;
    struct reply reply = {.done = false};
    connection_open(&connection, fixture);
    usleep(400 * 1000);
    postgres_server_kill();
    assert_int_equal(database_send(connection.database, orders_sql, NULL, false, on_reply, &reply),
                     0);
    run_until(fixture, &reply.done);
    assert_int_equal(reply.answer.status, DATABASE_UNAVAILABLE);
    assert_true(reply.answer.unexecuted);
    run_until(fixture, &connection.down);
    postgres_server_restart();
    fixture_reconnect(fixture);
    connection.up = false;
    run_until_up(&connection);
    connection_close(&connection);
}

static void terminate_sessions(struct fixture *fixture)
{
    execute(fixture, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'under test'");
}

static void test_terminated(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct reply replies[3];
    memset(replies, 0, sizeof replies);
    for (size_t i = 0; i < COUNT(replies); i++)
        assert_int_equal(database_send(connection.database, "SELECT pg_sleep(0.9)", NULL, false,
                                       on_reply, &replies[i]),
                         0);
    run_for(fixture, 50);
    terminate_sessions(fixture);
    run_until(fixture, &connection.down);
    assert_non_null(strstr(connection.reason, "administrator"));
    for (size_t i = 0; i < COUNT(replies); i++) {
        assert_true(replies[i].done);
        assert_int_equal(replies[i].answer.status, DATABASE_UNAVAILABLE);
    }
    struct reply refused;
    assert_false(database_up(connection.database));
    assert_int_equal(
        database_send(connection.database, "SELECT 1", NULL, false, on_reply, &refused), -1);

    run_until_up(&connection); /* and idle this time */
    terminate_sessions(fixture);
    run_until(fixture, &connection.down);
    assert_non_null(strstr(connection.reason, "administrator"));
    run_until_up(&connection);
    struct reply reply;
    send_and_wait(&connection, "SELECT 1", &reply);
    assert_string_equal(reply.value, "1");
    connection_close(&connection);
}

/* Whose session ends by the administrator's command before it has a result has done nothing; whose
 * server is killed cannot know. */
static void test_unexecuted(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    for (int killed = 0; killed < 2; killed++) {
        struct reply replies[2];
        memset(replies, 0, sizeof replies);
        execute(fixture, "BEGIN; LOCK TABLE orders");
        for (size_t i = 0; i < COUNT(replies); i++)
            assert_int_equal(
                database_send(connection.database, orders_sql, NULL, false, on_reply, &replies[i]),
                0);
        run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
        connection.up = false;
        if (killed)
            postgres_server_kill();
        else
            terminate_sessions(fixture);
        for (size_t i = 0; i < COUNT(replies); i++) {
            run_until(fixture, &replies[i].done);
            assert_int_equal(replies[i].answer.status, DATABASE_UNAVAILABLE);
            assert_int_equal(replies[i].answer.unexecuted, !killed);
        }
        if (killed) {
            postgres_server_restart();
            fixture_reconnect(fixture);
        } else {
            execute(fixture, "COMMIT");
        }
        run_until_up(&connection);
    }
    connection_close(&connection);
}

/* A server that has become a standby, or whose sessions must not write, is down for whoever writes,
 * and says why. */
static void test_read_only(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection, reader;
    struct error err;
    connection_open(&connection, fixture);
    set_for_database(fixture, "SET default_transaction_read_only = on");
    struct database_options options = connection_options(&reader, fixture);
    options.reads_only = true;
    reader.database = database_new(fixture->loop, &options);
    run_until_up(&reader);
    struct reply reply;
    send_and_wait(&connection, "SET default_transaction_read_only = on", &reply);
    send_and_wait(&connection, "DELETE FROM orders", &reply);
    assert_string_equal(reply.answer.sqlstate, "25006");
    run_loop_until(fixture->loop, strstr(connection.reason, "takes no writes") != NULL);
    assert_false(database_up(connection.database));
    assert_int_equal(database_reach(fixture->client_dsn, 0, &err), -1);
    assert_non_null(strstr(err.message, "takes no writes"));
    set_for_database(fixture, "RESET default_transaction_read_only");
    connection.up = false;
    run_until_up(&connection);
    assert_int_equal(reader.downs, 0);
    connection_close(&connection);
    connection_close(&reader);
}

int run_session_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_columns_changed),     DATABASE_TEST(test_discarded),
        DATABASE_TEST(test_prepared_by_another), cmocka_unit_test(test_names),
        DATABASE_TEST(test_cut_while_idle),      DATABASE_TEST(test_cut_for_good),
        DATABASE_TEST(test_terminated),          DATABASE_TEST(test_unexecuted),
        DATABASE_TEST(test_read_only),
    };
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
