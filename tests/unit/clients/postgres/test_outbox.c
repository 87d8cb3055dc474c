/* Bulk orders and the relay of their outbox. */
#include "services/clients/postgres/outbox.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    assert_int_equal(orders_insert_bulk(connection->database, orders, count, on_stored, stored), 0);
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
                                            SIZE, on_stored, &stored[i]),
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

struct batch {
    bool done, finished;
    const struct order *orders;
    size_t count;
    struct database_answer answer, end;
};

static void on_batch(void *arg, const struct order *orders, size_t count,
                     const struct database_answer *answer)
{
    struct batch *batch = arg;
    assert_false(batch->done);
    assert_true((orders != NULL) == (count > 0));
    *batch = (struct batch){.done = true, .orders = orders, .count = count, .answer = *answer};
}

static void on_finished(void *arg, const struct database_answer *answer)
{
    struct batch *batch = arg;
    assert_false(batch->finished);
    batch->finished = true;
    batch->end = *answer;
}

static void take(struct connection *connection, struct outbox_relay *relay, struct batch *batch)
{
    *batch = (struct batch){.done = false};
    assert_int_equal(outbox_take(relay, on_batch, batch), 0);
    assert_int_equal(outbox_take(relay, on_batch, batch), -1);
    run_until(connection->fixture, &batch->done);
}

static enum database_status finish(struct connection *connection, struct outbox_relay *relay,
                                   struct batch *batch, bool published)
{
    outbox_finish(relay, published, on_finished, batch);
    assert_false(batch->finished);
    run_until(connection->fixture, &batch->finished);
    return batch->end.status;
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

/* Two relays (`connection` is the first's), an outbox of 700 orders, each with its number as
 * amount. */
struct relays {
    struct connection store, first, second;
    struct outbox_relay *relay, *other;
    struct order *orders;
};

static void open_relays(struct relays *relays, struct fixture *fixture)
{
    enum { SIZE = 700 };
    connection_open(&relays->store, fixture);
    struct database_options options = connection_options(&relays->first, fixture);
    options.application_name = "relay";
    relays->relay = outbox_relay_new(fixture->loop, &options);
    options = connection_options(&relays->second, fixture);
    relays->other = outbox_relay_new(fixture->loop, &options);
    run_until(fixture, &relays->first.up);
    run_until(fixture, &relays->second.up);
    relays->orders = calloc(SIZE, sizeof *relays->orders);
    assert_non_null(relays->orders);
    for (unsigned i = 0; i < SIZE; i++)
        relays->orders[i] = make_order(i, "relayed", i);
    struct stored stored;
    insert_bulk(&relays->store, relays->orders, SIZE, &stored);
    assert_int_equal(stored.result, BULK_STORED);
}

static void close_relays(struct relays *relays)
{
    free(relays->orders);
    outbox_relay_free(relays->relay);
    outbox_relay_free(relays->other);
    connection_close(&relays->store);
}

static void test_relay(void **state)
{
    struct relays relays;
    struct batch batch, other;
    open_relays(&relays, *state);
    execute(*state, "UPDATE order_outbox SET stored_at = stored_at - interval '1 minute'");
    assert_true(backlog_of(&relays.store).oldest_seconds >= 60);
    assert_int_equal(backlog_of(&relays.store).orders, 700);

    take(&relays.first, relays.relay, &batch);
    assert_int_equal(batch.count, OUTBOX_BATCH);
    for (unsigned i = 0; i < batch.count; i++)
        assert_true(order_equal(&batch.orders[i], &relays.orders[i]));
    take(&relays.second, relays.other, &other); /* what the first has not locked */
    assert_int_equal(other.count, 200);
    assert_true(order_equal(&other.orders[0], &relays.orders[500]));
    assert_int_equal(finish(&relays.second, relays.other, &other, true), DATABASE_OK);
    take(&relays.second, relays.other, &other);
    assert_int_equal(other.count, 0);
    assert_int_equal(other.answer.status, DATABASE_OK);
    expect_rows(*state, "700", "500");

    /* not published: handed out again */
    assert_int_equal(finish(&relays.first, relays.relay, &batch, false), DATABASE_OK);
    expect_rows(*state, "700", "500");
    take(&relays.first, relays.relay, &batch);
    assert_int_equal(batch.count, 500);
    assert_int_equal(finish(&relays.first, relays.relay, &batch, true), DATABASE_OK);
    expect_rows(*state, "700", "0");
    assert_true(backlog_of(&relays.store).oldest_seconds == 0);
    assert_int_equal(backlog_of(&relays.store).orders, 0);
    close_relays(&relays);
}

/* The connection, or the process, is gone while the batch is held. */
static void test_relay_lost(void **state)
{
    struct fixture *fixture = *state;
    struct relays relays;
    struct batch batch, other;
    open_relays(&relays, fixture);
    take(&relays.first, relays.relay, &batch);
    relays.first.up = relays.first.down = false;
    execute(fixture, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'relay'");
    run_until(fixture, &relays.first.down);
    run_until(fixture, &relays.first.up);
    assert_true(order_equal(&batch.orders[499], &relays.orders[499])); /* still there */
    /* published, but the locks were lost: it does not touch what may be another's by now */
    assert_int_equal(finish(&relays.first, relays.relay, &batch, true), DATABASE_UNAVAILABLE);
    expect_rows(fixture, "700", "700");
    take(&relays.first, relays.relay, &batch);
    assert_int_equal(batch.count, OUTBOX_BATCH);
    outbox_relay_free(relays.relay); /* as when its process dies */
    relays.relay = NULL;
    run_until_query(fixture,
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'relay'", "0");
    take(&relays.second, relays.other, &other);
    assert_int_equal(other.count, OUTBOX_BATCH);
    assert_int_equal(finish(&relays.second, relays.other, &other, true), DATABASE_OK);
    expect_rows(fixture, "700", "200");
    close_relays(&relays);
}

/* The deletion fails: the answer says so although COMMIT succeeds (as a rollback). And a row that
 * is no order delays nobody. */
static void test_relay_troubles(void **state)
{
    struct fixture *fixture = *state;
    struct relays relays;
    struct batch batch;
    open_relays(&relays, fixture);
    execute(fixture, "UPDATE order_outbox SET amount = 'NaN' WHERE amount = 0.03;"
                     "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                     " $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
                     "CREATE TRIGGER refuse BEFORE DELETE ON order_outbox"
                     " FOR EACH ROW EXECUTE FUNCTION refuse()");
    take(&relays.first, relays.relay, &batch);
    assert_int_equal(batch.count, OUTBOX_BATCH - 1);
    assert_int_equal(batch.orders[3].amount_cents, 4);
    assert_int_equal(finish(&relays.first, relays.relay, &batch, true), DATABASE_FAILED);
    assert_string_equal(batch.end.sqlstate, "P0001");
    execute(fixture, "DROP TRIGGER refuse ON order_outbox");
    do {
        take(&relays.first, relays.relay, &batch);
        if (batch.count > 0)
            assert_int_equal(finish(&relays.first, relays.relay, &batch, true), DATABASE_OK);
    } while (batch.count > 0);
    expect_rows(fixture, "700", "1");
    close_relays(&relays);
}

int run_outbox_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_bulk),         DATABASE_TEST(test_bulk_with_text_ids),
        DATABASE_TEST(test_bulk_at_once), DATABASE_TEST(test_relay),
        DATABASE_TEST(test_relay_lost),   DATABASE_TEST(test_relay_troubles),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
