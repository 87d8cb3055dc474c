#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/run_loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t pooler_port;

void fixture_connect_through(uint16_t port)
{
    pooler_port = port;
}

void fixture_reconnect(struct fixture *fixture)
{
    PQfinish(fixture->admin);
    fixture->admin = PQconnectdb(fixture->dsn);
    assert_int_equal(PQstatus(fixture->admin), CONNECTION_OK);
    execute(fixture, "SET client_min_messages = warning");
}

int fixture_setup(void **state)
{
    static unsigned databases;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->loop = event_loop_new();
    char address[120];
    snprintf(address, sizeof address, "host=%s port=%u user=postgres", postgres_server_folder(),
             postgres_server_port());
    snprintf(fixture->dsn, sizeof fixture->dsn, "%s dbname=postgres", address);
    fixture_reconnect(fixture);
    char sql[100];
    snprintf(sql, sizeof sql, "CREATE DATABASE test%u TEMPLATE template0", ++databases);
    execute(fixture, sql);
    snprintf(fixture->dsn, sizeof fixture->dsn, "%s dbname=test%u", address, databases);
    fixture_reconnect(fixture);
    if (pooler_port != 0)
        snprintf(address, sizeof address, "host=127.0.0.1 port=%u user=postgres", pooler_port);
    snprintf(fixture->client_dsn, sizeof fixture->client_dsn, "%s dbname=test%u", address,
             databases);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    PQfinish(fixture->admin);
    /* A test that failed leaves its connections, and the loop in the middle of a turn. */
    if (event_loop_idle(fixture->loop)) {
        event_loop_free(fixture->loop);
        free(fixture);
    }
    return 0;
}

void run_until(struct fixture *fixture, const bool *flag)
{
    run_loop_until(fixture->loop, *flag);
}

void run_for(struct fixture *fixture, int64_t for_ms)
{
    run_loop_for(fixture->loop, for_ms);
}

void execute(struct fixture *fixture, const char *sql)
{
    PGresult *result = PQexec(fixture->admin, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(fixture->admin));
    PQclear(result);
}

const char *query(struct fixture *fixture, const char *sql)
{
    static char value[1000];
    PGresult *result = PQexec(fixture->admin, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0)
        fail_msg("%s: %s", sql, PQerrorMessage(fixture->admin));
    snprintf(value, sizeof value, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

void run_until_query(struct fixture *fixture, const char *sql, const char *value)
{
    wait_until(strcmp(query(fixture, sql), value) == 0, run_for(fixture, 20));
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct connection *connection = arg;
    connection->up = up;
    connection->down = !up;
    connection->ups += up;
    connection->downs += !up;
    assert_true(up == (reason == NULL));
    if (reason != NULL) {
        assert_true(reason[0] != '\0');
        assert_null(strchr(reason, '\n'));
        snprintf(connection->reason, sizeof connection->reason, "%s", reason);
    }
}

struct database_options connection_options(struct connection *connection, struct fixture *fixture)
{
    *connection = (struct connection){.fixture = fixture};
    return (struct database_options){
        .dsn = fixture->client_dsn,
        .application_name = "under test",
        .max_in_flight = 16,
        .statement_timeout_ms = 20000,
        .lock_timeout_ms = 15000,
        .uses = DATABASE_ALL_USES,
        .on_state = on_state,
        .arg = connection,
    };
}

void connection_open(struct connection *connection, struct fixture *fixture)
{
    struct database_options options = connection_options(connection, fixture);
    connection->database = database_new(fixture->loop, &options);
    run_until_up(connection);
}

void connection_open_hasty(struct connection *connection, struct fixture *fixture)
{
    struct database_options options = connection_options(connection, fixture);
    options.statement_timeout_ms = 1000;
    options.lock_timeout_ms = 500;
    connection->database = database_new(fixture->loop, &options);
    run_until_up(connection);
}

void connection_close(struct connection *connection)
{
    database_free(connection->database);
}

void run_until_up(struct connection *connection)
{
    run_until(connection->fixture, &connection->up);
    assert_true(database_up(connection->database));
}

void on_reply(void *arg, const struct database_answer *answer)
{
    struct reply *reply = arg;
    assert_false(reply->done);
    reply->done = true;
    reply->answer = *answer;
    reply->rows = -1;
    reply->value[0] = '\0';
    assert_true((answer->result != NULL) == (answer->status == DATABASE_OK));
    if (answer->result == NULL)
        return;
    reply->rows = PQntuples(answer->result);
    if (reply->rows > 0 && PQnfields(answer->result) > 0)
        snprintf(reply->value, sizeof reply->value, "%s", PQgetvalue(answer->result, 0, 0));
}

void send_and_wait(struct connection *connection, const char *sql, struct reply *reply)
{
    *reply = (struct reply){.done = false};
    assert_int_equal(database_send(connection->database, sql, NULL, false, on_reply, reply), 0);
    assert_false(reply->done);
    run_until(connection->fixture, &reply->done);
}

struct order make_order(unsigned number, const char *name, int64_t amount_cents)
{
    struct order order = {.amount_cents = amount_cents,
                          .created_at_us = INT64_C(1700000000123456) + number};
    for (int i = 0; i < 4; i++)
        order.id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    order.id.bytes[0] = 0xab; /* letters, whose case could matter */
    order_set_name(&order, name, strlen(name));
    return order;
}

void install_original_schema(struct fixture *fixture)
{
    execute(fixture,
            "SET timezone = 'Asia/Tokyo';"
            "CREATE TABLE orders (id TEXT PRIMARY KEY, product_name TEXT NOT NULL,"
            " amount NUMERIC NOT NULL, created_at TIMESTAMPTZ NOT NULL);"
            "INSERT INTO orders VALUES"
            " ('ab000000-0000-4000-8000-000000000001', 'old', 19.99, '2026-01-01 23:30:00+00'),"
            " ('ab000000-0000-4000-8000-000000000002', 'older', -5, '2026-01-01 00:30:00+00'),"
            " ('ab000000-0000-4000-8000-000000000003', 'odd', 1.005, '2026-01-02 00:30:00+00'),"
            " ('ab000000-0000-4000-8000-000000000004', 'not', 'NaN', '2026-01-02 00:30:00+00'),"
            " ('ab000000-0000-4000-8000-000000000005', '', 1, 'infinity');"
            "CREATE MATERIALIZED VIEW daily_sales_mv AS"
            " SELECT DATE(created_at) AS sale_date, SUM(amount) AS total_revenue"
            " FROM orders GROUP BY DATE(created_at);"
            "CREATE UNIQUE INDEX daily_sales_mv_date_idx ON daily_sales_mv (sale_date)");
}
