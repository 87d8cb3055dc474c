/* Bulk orders, and taking their outbox rows under a lease. */
#include "proto/order_json.h"
#include "services/clients/postgres/outbox.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
static const struct trace_context trace = {
    .id = {{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e,
            0x47, 0x36}},
    .parent_id = {1, 2, 3, 4, 5, 6, 7, 8},
    .sampled = true,
    .state = "a=1,b=2!",
    .state_len = 7, /* it ends in no NUL */
};

struct stored {
    bool done;
    enum bulk_result result;
    struct database_answer answer;
};

static void on_stored(void *arg, enum bulk_result result, const struct database_answer *answer)
{
    struct stored *stored = arg;
    assert_false(stored->done);
    *stored = (struct stored){true, result, *answer};
}

static void insert_bulk(struct connection *connection, const struct order *orders, size_t count,
                        struct stored *stored)
{
    *stored = (struct stored){.done = false};
    assert_int_equal(
        orders_insert_bulk(connection->database, orders, count, &trace, on_stored, stored), 0);
    run_until(connection->fixture, &stored->done);
}

static void expect_rows(struct fixture *fixture, const char *orders, const char *outbox)
{
    assert_string_equal(query(fixture, "SELECT count(*) FROM orders"), orders);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), outbox);
}

static void bulk(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    char before[16];
    snprintf(before, sizeof before, "%s", query(fixture, "SELECT count(*) FROM orders"));
    execute(fixture, "DELETE FROM orders");
    struct order orders[] = {make_order(2, "b", 5000), make_order(1, "a", 10000)};
    struct stored stored;
    insert_bulk(&connection, orders, 2, &stored);
    assert_int_equal(stored.result, BULK_STORED);
    expect_rows(fixture, "2", "2");

    /* a replay, later: stored, nothing new */
    struct order replay[] = {orders[0], orders[1]};
    replay[0].created_at_us += 1000;
    insert_bulk(&connection, replay, 2, &stored);
    assert_int_equal(stored.result, BULK_STORED);

    /* other content, or more than was stored then */
    struct order other_amount[] = {orders[0], orders[1]};
    other_amount[1].amount_cents = 1;
    struct order other_name[] = {orders[0], orders[1]};
    order_set_name(&other_name[0], "B", 1);
    struct order more[] = {orders[0], orders[1], make_order(3, "c", 1)};
    const struct {
        const struct order *orders;
        size_t count;
    } conflicts[] = {{other_amount, 2}, {other_name, 2}, {more, 3}};
    for (size_t i = 0; i < COUNT(conflicts); i++) {
        insert_bulk(&connection, conflicts[i].orders, conflicts[i].count, &stored);
        assert_int_equal(stored.result, BULK_CONFLICT);
    }
    expect_rows(fixture, "2", "2");

    /* all or none */
    execute(fixture, "ALTER TABLE orders ADD CHECK (product_name <> 'bad')");
    struct order half_bad[] = {make_order(4, "good", 1), make_order(5, "bad", 1)};
    insert_bulk(&connection, half_bad, 2, &stored);
    assert_int_equal(stored.result, BULK_FAILED);
    assert_int_equal(stored.answer.status, DATABASE_FAILED);
    assert_string_equal(stored.answer.sqlstate, "23514");
    expect_rows(fixture, "2", "2");
    connection_close(&connection);
}

static void test_bulk(void **state)
{
    bulk(*state);
}

static void test_bulk_with_text_ids(void **state)
{
    install_original_schema(*state);
    bulk(*state);
}

/* The same bulk, and a different one under the same ids, while the first is not committed yet. */
static void test_bulk_at_once(void **state)
{
    struct fixture *fixture = *state;
    enum { SIZE = 1000 };
    struct connection connections[3];
    struct stored stored[3];
    memset(stored, 0, sizeof stored);
    for (int i = 0; i < 3; i++)
        connection_open(&connections[i], fixture);
    struct order *orders = calloc(2 * SIZE, sizeof *orders);
    assert_non_null(orders);
    for (unsigned i = 0; i < SIZE; i++) {
        orders[i] = make_order(i, "same", 1);
        orders[SIZE + i] = make_order(i, "other", 1);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(orders_insert_bulk(connections[i].database, orders + (i == 2 ? SIZE : 0),
                                            SIZE, &trace, on_stored, &stored[i]),
                         0);
    for (int i = 0; i < 3; i++)
        run_until(fixture, &stored[i].done);
    assert_int_equal(stored[0].result, stored[1].result);
    assert_int_equal(stored[2].result,
                     stored[0].result == BULK_STORED ? BULK_CONFLICT : BULK_STORED);
    expect_rows(fixture, "1000", "1000");
    free(orders);
    for (int i = 0; i < 3; i++)
        connection_close(&connections[i]);
}

struct taken {
    bool done;
    struct outbox_batch *batch;
    struct database_answer answer;
};

static void on_taken(void *arg, struct outbox_batch *batch, const struct database_answer *answer)
{
    struct taken *taken = arg;
    assert_false(taken->done);
    assert_true(batch == NULL || batch->count > 0);
    *taken = (struct taken){true, batch, *answer};
}

/* Returns NULL when there is nothing to take. */
static struct outbox_batch *take(struct connection *connection)
{
    struct taken taken = {.done = false};
    assert_int_equal(outbox_take(connection->database, on_taken, &taken), 0);
    run_until(connection->fixture, &taken.done);
    assert_int_equal(taken.answer.status, DATABASE_OK);
    return taken.batch;
}

/* The batch is freed. */
static struct database_answer finish(struct connection *connection, struct outbox_batch *batch,
                                     bool published)
{
    struct reply reply = {.done = false};
    assert_int_equal(outbox_finish(connection->database, batch, published, on_reply, &reply), 0);
    free(batch);
    run_until(connection->fixture, &reply.done);
    return reply.answer;
}

static void expect_row(const struct outbox_row *row, const struct order *order)
{
    char traceparent[TRACEPARENT_LEN + 1];
    traceparent_format(&row->trace, traceparent);
    assert_string_equal(traceparent, "00-" TRACE_ID "-0102030405060708-01");
    assert_int_equal(row->trace.state_len, 7);
    assert_memory_equal(row->trace.state, "a=1,b=2", 7);
    assert_int_equal(row->replay_of, 0);
    char json[ORDER_JSON_SIZE];
    assert_int_equal(row->json_len, order_to_json(order, json));
    assert_memory_equal(row->json, json, row->json_len);
    assert_true(order_id_equal(&row->order_id, &order->id));
}

static void end_leases(struct fixture *fixture)
{
    execute(fixture, "UPDATE order_outbox SET lease = lease - interval '6 s'");
}

struct backlog_read {
    bool done;
    struct outbox_backlog backlog;
};

static void on_backlog(void *arg, const struct outbox_backlog *backlog,
                       const struct database_answer *answer)
{
    assert_int_equal(answer->status, DATABASE_OK);
    *(struct backlog_read *)arg = (struct backlog_read){true, *backlog};
}

static struct outbox_backlog backlog_of(struct connection *connection)
{
    struct backlog_read read = {.done = false};
    assert_int_equal(outbox_backlog(connection->database, on_backlog, &read), 0);
    run_until(connection->fixture, &read.done);
    return read.backlog;
}

/* Two gateways, and an outbox of 700 orders, each with its number as amount. */
struct relays {
    struct connection first, second;
    struct order *orders;
};

static void open_relays(struct relays *relays, struct fixture *fixture)
{
    enum { SIZE = 700 };
    connection_open(&relays->first, fixture);
    connection_open(&relays->second, fixture);
    relays->orders = calloc(SIZE, sizeof *relays->orders);
    assert_non_null(relays->orders);
    for (unsigned i = 0; i < SIZE; i++)
        relays->orders[i] = make_order(i, "relayed \"1\"", i);
    struct stored stored;
    insert_bulk(&relays->first, relays->orders, SIZE, &stored);
    assert_int_equal(stored.result, BULK_STORED);
}

static void close_relays(struct relays *relays)
{
    free(relays->orders);
    connection_close(&relays->first);
    connection_close(&relays->second);
}

static void test_relay(void **state)
{
    struct relays relays;
    struct outbox_batch *batch, *other;
    open_relays(&relays, *state);
    execute(*state, "UPDATE order_outbox SET stored_at = stored_at - interval '1 minute'");
    assert_true(backlog_of(&relays.first).oldest_seconds >= 60);
    assert_int_equal(backlog_of(&relays.first).orders, 700);

    batch = take(&relays.first);
    assert_int_equal(batch->count, OUTBOX_BATCH);
    for (unsigned i = 0; i < batch->count; i++)
        expect_row(&batch->rows[i], &relays.orders[i]);
    other = take(&relays.second); /* what the first has no lease of */
    assert_int_equal(other->count, 200);
    expect_row(&other->rows[0], &relays.orders[500]);
    assert_int_equal(finish(&relays.second, other, true).status, DATABASE_OK);
    assert_null(take(&relays.second));
    expect_rows(*state, "700", "500");

    /* not published: handed out again, at once */
    assert_int_equal(finish(&relays.first, batch, false).status, DATABASE_OK);
    expect_rows(*state, "700", "500");
    batch = take(&relays.first);
    assert_int_equal(batch->count, 500);
    assert_int_equal(finish(&relays.first, batch, true).status, DATABASE_OK);
    expect_rows(*state, "700", "0");
    assert_true(backlog_of(&relays.first).oldest_seconds == 0);
    assert_int_equal(backlog_of(&relays.first).orders, 0);
    close_relays(&relays);
}

/* While a batch is published no transaction is open, and its lease is 5 s of the database's clock.
 * The gateway that took it is gone, or late: another one takes the rows. */
static void test_lease(void **state)
{
    struct fixture *fixture = *state;
    struct relays relays;
    open_relays(&relays, fixture);
    struct outbox_batch *late = take(&relays.first);
    assert_string_equal(query(fixture, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE"
                                       " 'idle in%' AND datname = current_database()"),
                        "0");
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox WHERE lease"
                                       " BETWEEN now() AND now() + interval '5 s'"),
                        "500");
    struct outbox_batch *rest = take(&relays.second);
    assert_int_equal(rest->count, 200);
    free(rest);
    assert_null(take(&relays.second));
    end_leases(fixture);
    struct outbox_batch *batch = take(&relays.second);
    assert_int_equal(batch->count, OUTBOX_BATCH);
    expect_row(&batch->rows[499], &relays.orders[499]);

    /* the late one's failure does not end the lease of the other */
    struct outbox_batch *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, late, sizeof *copy);
    assert_int_equal(finish(&relays.first, copy, false).status, DATABASE_OK);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox WHERE lease > now()"),
                        "500");
    /* but what it has published is published, also when each gateway needs longer than its lease */
    assert_int_equal(finish(&relays.first, late, true).status, DATABASE_OK);
    expect_rows(fixture, "700", "200");
    assert_int_equal(finish(&relays.second, batch, true).status, DATABASE_OK);
    expect_rows(fixture, "700", "200");
    close_relays(&relays);
}

/* The deletion fails, and the answer says so. A row that is no order delays no order, and JSON that
 * is longer than an order's is not taken along: the other columns are. */
static void test_relay_troubles(void **state)
{
    struct fixture *fixture = *state;
    struct relays relays;
    open_relays(&relays, fixture);
    execute(fixture, "UPDATE order_outbox SET amount = 'NaN', json = NULL WHERE amount = 0.03;"
                     "UPDATE order_outbox SET json = repeat('x', 20000000) WHERE amount = 0.04;"
                     "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                     " $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
                     "CREATE TRIGGER refuse BEFORE DELETE ON order_outbox"
                     " FOR EACH ROW EXECUTE FUNCTION refuse()");
    struct outbox_batch *batch = take(&relays.first);
    assert_int_equal(batch->count, OUTBOX_BATCH - 1);
    expect_row(&batch->rows[3], &relays.orders[4]);
    struct database_answer refusal = finish(&relays.first, batch, true);
    assert_int_equal(refusal.status, DATABASE_FAILED);
    assert_string_equal(refusal.sqlstate, "P0001");
    execute(fixture, "DROP TRIGGER refuse ON order_outbox");
    end_leases(fixture);
    while ((batch = take(&relays.first)) != NULL)
        assert_int_equal(finish(&relays.first, batch, true).status, DATABASE_OK);
    expect_rows(fixture, "700", "1");
    close_relays(&relays);
}

/* A gateway of schema version 1 stores rows without JSON, and relays all rows in a transaction that
 * locks them. */
static void test_beside_version_1(void **state)
{
    struct fixture *fixture = *state;
    struct relays relays;
    open_relays(&relays, fixture);
    execute(fixture, "UPDATE order_outbox SET json = NULL WHERE seq % 2 = 0");
    execute(fixture, "BEGIN; SELECT order_id, product_name, amount::text, created_at, seq"
                     " FROM order_outbox ORDER BY seq LIMIT 500 FOR UPDATE SKIP LOCKED");
    struct outbox_batch *batch = take(&relays.first);
    assert_int_equal(batch->count, 200);
    for (unsigned i = 0; i < batch->count; i++)
        expect_row(&batch->rows[i], &relays.orders[500 + i]);
    assert_int_equal(finish(&relays.first, batch, true).status, DATABASE_OK);
    execute(fixture, "DELETE FROM order_outbox WHERE seq <= 100; COMMIT");
    batch = take(&relays.first);
    assert_int_equal(batch->count, 400);
    for (unsigned i = 0; i < batch->count; i++)
        expect_row(&batch->rows[i], &relays.orders[100 + i]);
    assert_int_equal(finish(&relays.first, batch, true).status, DATABASE_OK);
    expect_rows(fixture, "700", "0");
    close_relays(&relays);
}

/* Rows name a trace and the letter that they replay; rows of a gateway of version 2 name none. What
 * another hand has written as a trace is none. */
static void test_traces(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct order orders[5];
    for (unsigned i = 0; i < COUNT(orders); i++)
        orders[i] = make_order(i, "a", i);
    struct stored stored;
    insert_bulk(&connection, orders, COUNT(orders), &stored);
    assert_int_equal(stored.result, BULK_STORED);
    assert_string_equal(query(fixture, "SELECT DISTINCT traceparent || ' ' || tracestate"
                                       " || coalesce(replay_of::text, '') FROM order_outbox"),
                        "00-" TRACE_ID "-0102030405060708-01 a=1,b=2");
    execute(fixture,
            "UPDATE order_outbox SET replay_of = 1099511627776 WHERE amount = 0;"
            "UPDATE order_outbox SET traceparent = NULL, tracestate = NULL WHERE amount = 0.01;"
            "UPDATE order_outbox SET traceparent = 'x' WHERE amount = 0.02;"
            "UPDATE order_outbox SET tracestate = repeat('x', 20000000) WHERE amount = 0.03;"
            "UPDATE order_outbox SET tracestate = NULL WHERE amount = 0.04");
    struct outbox_batch *batch = take(&connection);
    assert_int_equal(batch->count, COUNT(orders));
    for (unsigned i = 0; i < COUNT(orders); i++) {
        static const size_t state_lens[] = {7, 0, 0, 0, 0};
        const struct outbox_row *row = &batch->rows[i];
        char id[TRACE_ID_TEXT_LEN + 1];
        trace_id_format(&row->trace.id, id);
        assert_int_equal(strlen(id), TRACE_ID_TEXT_LEN);
        assert_int_equal(strcmp(id, TRACE_ID) == 0, i != 1 && i != 2);
        assert_int_equal(row->trace.state_len, state_lens[i]);
        assert_int_equal(row->replay_of, i == 0 ? INT64_C(1) << 40 : 0);
    }
    free(batch);

    /* without a tracestate there is none in the row */
    const struct order order = make_order(9, "b", 1);
    const struct trace_context bare = trace_context_begin();
    stored.done = false;
    assert_int_equal(orders_insert_bulk(connection.database, &order, 1, &bare, on_stored, &stored),
                     0);
    run_until(fixture, &stored.done);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox WHERE product_name = 'b'"
                                       " AND tracestate IS NULL AND traceparent LIKE '00-%-00'"),
                        "1");
    connection_close(&connection);
}

int run_outbox_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_bulk),
        DATABASE_TEST(test_bulk_with_text_ids),
        DATABASE_TEST(test_bulk_at_once),
        DATABASE_TEST(test_relay),
        DATABASE_TEST(test_lease),
        DATABASE_TEST(test_relay_troubles),
        DATABASE_TEST(test_beside_version_1),
        DATABASE_TEST(test_traces),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
