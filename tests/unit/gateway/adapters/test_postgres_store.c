/* The order store against a real, private PostgreSQL. */
#include "services/base/metrics.h"
#include "services/gateway/adapters/postgres_store.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct store {
    struct fixture *fixture;
    struct order_store *port;
    struct order_reader *reader;
    bool up, down;
    int wake_fd;
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct store *store = arg;
    assert_true(up == (reason == NULL));
    store->up = up;
    store->down = !up;
}

static void store_open(struct store *store, struct fixture *fixture)
{
    *store = (struct store){.fixture = fixture, .wake_fd = eventfd(0, EFD_NONBLOCK)};
    const struct postgres_store_options options = {
        .dsn = fixture->dsn, .outbox_wake_fd = store->wake_fd, .on_state = on_state, .arg = store};
    store->port = postgres_store_new(fixture->loop, &options);
    store->reader = postgres_store_reader(store->port);
    run_until(fixture, &store->up);
}

static void store_close(struct store *store)
{
    postgres_store_free(store->port);
    close(store->wake_fd);
}

/* How often the outbox task was woken since the last time. */
static uint64_t wakes(struct store *store)
{
    uint64_t count = 0;
    ssize_t taken = read(store->wake_fd, &count, sizeof count);
    return taken == sizeof count ? count : 0;
}

struct answer {
    bool done, found;
    enum order_store_status status;
    struct order order;
    size_t days;
    char revenue[64];
};

static void on_found(void *arg, enum order_store_status status, const struct order *order)
{
    struct answer *answer = arg;
    assert_false(answer->done);
    answer->done = true;
    answer->status = status;
    answer->found = order != NULL;
    if (order != NULL)
        order_copy(&answer->order, order);
}

static void on_sales(void *arg, enum order_store_status status, const struct sales_day *days,
                     size_t count)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->status = status;
    answer->days = count;
    if (count > 0)
        strcpy(answer->revenue, days[0].total_revenue);
}

static void on_inserted(void *arg, enum order_store_status status)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->status = status;
}

static const struct trace_context trace = {.id = {{1}}, .parent_id = {1}, .state = ""};
static void on_fate(void *arg, enum order_store_status status, const struct order_fate *fate)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->status = status;
    answer->found = fate != NULL && fate->stored;
}

static void ask_fate(struct store *store, const struct order_id *id, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    assert_int_equal(store->port->fate(store->port->self, id, on_fate, answer), 0);
    run_until(store->fixture, &answer->done);
}

static void find(struct store *store, const struct order_id *id, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    assert_int_equal(store->reader->find(store->reader->self, id, on_found, answer), 0);
    run_until(store->fixture, &answer->done);
}

static enum order_store_status insert(struct store *store, const struct order *orders, size_t count)
{
    struct answer answer = {.done = false};
    assert_int_equal(
        store->port->insert_bulk(store->port->self, orders, count, &trace, on_inserted, &answer),
        0);
    run_until(store->fixture, &answer.done);
    return answer.status;
}

static void read_sales(struct store *store, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    assert_int_equal(store->port->read_sales(store->port->self, false, on_sales, answer), 0);
    run_until(store->fixture, &answer->done);
}

static void test_answers(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order orders[] = {make_order(1, "a", 12345), make_order(2, "b", 5000)};
    struct answer answer;
    find(&store, &orders[0].id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    assert_false(answer.found);
    ask_fate(&store, &orders[0].id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    assert_false(answer.found);
    assert_int_equal(insert(&store, orders, 2), ORDER_STORE_OK);
    assert_int_equal(wakes(&store), 1);
    assert_int_equal(insert(&store, orders, 2), ORDER_STORE_OK);
    assert_int_equal(wakes(&store), 1);
    for (int i = 0; i < 4; i++) { /* on each connection */
        find(&store, &orders[i % 2].id, &answer);
        assert_true(answer.found);
        assert_true(order_equal(&answer.order, &orders[i % 2]));
        ask_fate(&store, &orders[i / 2].id, &answer);
        assert_true(answer.found);
    }
    struct order other = orders[1];
    other.amount_cents++;
    assert_int_equal(insert(&store, &other, 1), ORDER_STORE_CONFLICT);

    read_sales(&store, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    assert_int_equal(answer.days, 0);
    execute(fixture, "REFRESH MATERIALIZED VIEW daily_sales_mv");
    read_sales(&store, &answer);
    assert_int_equal(answer.days, 1);
    assert_string_equal(answer.revenue, "173.45");

    execute(fixture, "ALTER TABLE orders ADD CHECK (amount < 1000)");
    struct order refused = make_order(3, "c", 100000);
    struct metric_counter *failures =
        metric_counter("db_query_failures_total", "operation=\"insert_bulk\"", "");
    assert_int_equal(metric_count(failures), 0);
    assert_int_equal(insert(&store, &refused, 1), ORDER_STORE_FAILED);
    assert_int_equal(metric_count(failures), 1);
    assert_int_equal(wakes(&store), 0);          /* neither by the conflict nor by the refusal */
    execute(fixture, "DROP TABLE dead_letters"); /* orders are read all the same */
    ask_fate(&store, &orders[0].id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_FAILED);
    find(&store, &orders[0].id, &answer);
    assert_true(answer.found);
    store_close(&store);
}

/* A lock on the orders holds up the reads, not for ever; then the store is as before. */
static void test_locked(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    execute(fixture, "BEGIN; LOCK TABLE orders");
    struct answer answer;
    find(&store, &order.id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_FAILED);
    execute(fixture, "COMMIT");
    find(&store, &order.id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    store_close(&store);
}

/* Who waits for a lock in vain has stored nothing, nor who is terminated there; whose server is
 * killed cannot know. */
static void test_bulk_without_answer(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    execute(fixture, "BEGIN; LOCK TABLE orders");
    assert_int_equal(insert(&store, &order, 1), ORDER_STORE_UNAVAILABLE);
    static const char waits_sql[] = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    struct answer answer = {.done = false};
    assert_int_equal(
        store.port->insert_bulk(store.port->self, &order, 1, &trace, on_inserted, &answer), 0);
    run_until_query(fixture, waits_sql, "1");
    store.up = false;
    execute(fixture, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted");
    run_until(fixture, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_UNAVAILABLE);
    run_until(fixture, &store.up);

    answer.done = false;
    assert_int_equal(
        store.port->insert_bulk(store.port->self, &order, 1, &trace, on_inserted, &answer), 0);
    run_until_query(fixture, waits_sql, "1");
    store.up = false;
    postgres_server_kill();
    run_until(fixture, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_UNKNOWN);
    postgres_server_restart();
    fixture_reconnect(fixture);
    run_until(fixture, &store.up);
    store_close(&store);
}

/* A switch-over: the server that the sessions are on takes no more writes. Nothing is stored and
 * that passes; reads go on. */
static void test_standby(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    struct answer answer;
    execute(fixture, "ALTER SYSTEM SET default_transaction_read_only = on");
    execute(fixture, "SELECT pg_reload_conf()");
    run_until_query(fixture, "SHOW default_transaction_read_only", "on");
    assert_int_equal(insert(&store, &order, 1), ORDER_STORE_UNAVAILABLE);
    run_until(fixture, &store.down);
    find(&store, &order.id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    execute(fixture, "SET default_transaction_read_only = off");
    execute(fixture, "ALTER SYSTEM RESET default_transaction_read_only");
    execute(fixture, "SELECT pg_reload_conf()");
    run_until(fixture, &store.up);
    assert_int_equal(insert(&store, &order, 1), ORDER_STORE_OK);
    store_close(&store);
}

/* Too much at once is refused at once; what was taken is answered. */
static void test_bounded(void **state)
{
    enum { MANY = 2000 };
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    struct answer *answers = calloc(MANY, sizeof *answers);
    assert_non_null(answers);
    int taken = 0, bulks = 0;
    for (int i = 0; i < MANY; i++)
        taken += store.reader->find(store.reader->self, &order.id, on_found, &answers[taken]) == 0;
    assert_in_range(taken, 100, 1000);
    for (int i = 0; i < taken; i++) {
        run_until(fixture, &answers[i].done);
        assert_int_equal(answers[i].status, ORDER_STORE_OK);
    }
    memset(answers, 0, MANY * sizeof *answers);
    for (int i = 0; i < 100; i++)
        bulks += store.port->insert_bulk(store.port->self, &order, 1, &trace, on_inserted,
                                         &answers[bulks]) == 0;
    assert_in_range(bulks, 1, 10);
    for (int i = 0; i < bulks; i++) {
        run_until(fixture, &answers[i].done);
        assert_int_equal(answers[i].status, ORDER_STORE_OK);
    }
    free(answers);
    store_close(&store);
}

/* Whether a request of one of the three kinds is taken; then it is waited for. */
static bool taken(struct store *store, size_t kind, const struct order *order)
{
    struct order_store *port = store->port;
    struct answer answer = {.done = false};
    int rc = kind == 0   ? store->reader->find(store->reader->self, &order->id, on_found, &answer)
             : kind == 1 ? port->read_sales(port->self, false, on_sales, &answer)
                         : port->insert_bulk(port->self, order, 1, &trace, on_inserted, &answer);
    if (rc == 0)
        run_until(store->fixture, &answer.done);
    return rc == 0;
}

static void test_server_killed(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    struct answer answer = {.done = false};
    assert_int_equal(store.reader->find(store.reader->self, &order.id, on_found, &answer), 0);
    postgres_server_kill();
    run_until(fixture, &store.down);
    run_until(fixture, &answer.done); /* either way */
    for (size_t i = 0; i < 3; i++) {  /* whatever is still taken fails; soon nothing is */
        do
            run_for(fixture, 20);
        while (taken(&store, i, &order));
    }
    postgres_server_restart();
    fixture_reconnect(fixture);
    run_until(fixture, &store.up);
    find(&store, &order.id, &answer);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    store_close(&store);
}

/* One read connection is lost: reads go on on the other. */
static void test_one_connection_lost(void **state)
{
    struct fixture *fixture = *state;
    struct store store;
    store_open(&store, fixture);
    struct order order = make_order(1, "a", 1);
    execute(fixture, "SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity"
                     " WHERE application_name = 'gateway' AND datname = current_database()");
    run_until(fixture, &store.down);
    for (int i = 0; i < 4; i++) {
        struct answer answer = {.done = false};
        if (store.reader->find(store.reader->self, &order.id, on_found, &answer) == 0)
            run_until(fixture, &answer.done);
        else
            fail_msg("a read was refused although a connection is left");
        assert_int_equal(answer.status, ORDER_STORE_OK);
    }
    run_until(fixture, &store.up);
    store_close(&store);
}

static void must_not_come(void *arg, enum order_store_status status, const struct order *order)
{
    (void)arg, (void)status, (void)order;
    fail_msg("an answer after postgres_store_free()");
}

/* With work under way: no answers, nothing leaks. */
static void test_freed(void **state)
{
    struct store store;
    store_open(&store, *state);
    struct order order = make_order(1, "a", 1);
    struct answer answer = {.done = false};
    for (int i = 0; i < 3; i++)
        assert_int_equal(store.reader->find(store.reader->self, &order.id, must_not_come, NULL), 0);
    assert_int_equal(
        store.port->insert_bulk(store.port->self, &order, 1, &trace, on_inserted, &answer), 0);
    assert_int_equal(store.port->read_sales(store.port->self, false, on_sales, &answer), 0);
    store_close(&store);
    run_for(*state, 50);
    assert_false(answer.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_answers),
        DATABASE_TEST(test_locked),
        DATABASE_TEST(test_bulk_without_answer),
        DATABASE_TEST(test_standby),
        DATABASE_TEST(test_bounded),
        DATABASE_TEST(test_one_connection_lost),
        DATABASE_TEST(test_server_killed),
        DATABASE_TEST(test_freed),
    };
    postgres_server_start();
    int failures = cmocka_run_group_tests_name("postgres store", tests, NULL, NULL);
    postgres_server_stop();
    return failures;
}
