/* Waiting for orders in a table played by the test. The clock is the test's. */
#include "services/base/clock.h"
#include "services/clients/postgres/order_fate.h"
#include "services/gateway/adapters/stored_waiters.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/test_clock.h"
#include <string.h>

/* ---- the table and the connection to it ---- */

#define NEWS_MAX 8

static struct {
    bool connected;
    database_done_fn *on_looked; /* an answer that is due */
    void *arg;
    unsigned looks;
    size_t asked;          /* orders of the last look */
    struct order_id first; /* of them */
    struct {
        enum order_news news;
        struct order order;
        const char *reason;
        int64_t age_ms;
    } news[NEWS_MAX]; /* of the answer */
    int news_count;
} table;

struct database *database_new(struct event_loop *loop, const struct database_options *options)
{
    (void)loop;
    assert_int_equal(options->max_in_flight, 1);
    return (struct database *)&table;
}

void database_free(struct database *database)
{
    assert_ptr_equal(database, &table);
}

int order_news_look(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg)
{
    assert_ptr_equal(database, &table);
    assert_null(table.on_looked); /* one at a time */
    assert_in_range(count, 1, STORED_WAITERS_MAX);
    if (!table.connected)
        return -1;
    table.looks++;
    table.asked = count;
    table.first = ids[0];
    table.on_looked = on_done;
    table.arg = arg;
    return 0;
}

int order_news_count(const struct database_answer *answer)
{
    assert_int_equal(answer->status, DATABASE_OK);
    return table.news_count;
}

enum order_news order_news_read(const struct database_answer *answer, int i,
                                struct order *ret_order, const char **ret_reason,
                                int64_t *ret_age_ms)
{
    (void)answer;
    order_copy(ret_order, &table.news[i].order);
    *ret_reason = table.news[i].reason;
    *ret_age_ms = table.news[i].age_ms;
    return table.news[i].news;
}

static void add_news(enum order_news news, const struct order *order, const char *reason,
                     int64_t age_ms)
{
    int i = table.news_count++;
    table.news[i].news = news;
    order_copy(&table.news[i].order, order);
    table.news[i].reason = reason;
    table.news[i].age_ms = age_ms;
}

static void answer_look_with(enum database_status status)
{
    const struct database_answer answer = {.status = status};
    database_done_fn *on_looked = table.on_looked;
    assert_non_null(on_looked);
    table.on_looked = NULL;
    on_looked(table.arg, &answer);
    table.news_count = 0;
}

static void answer_look(void)
{
    answer_look_with(DATABASE_OK);
}

/* ---- the waiters ---- */

static struct event_loop *loop;
static struct order_waits *port;
static atomic_uint waiting;

static int set_up(void **state)
{
    (void)state;
    memset(&table, 0, sizeof table);
    table.connected = true;
    waiting = 0;
    loop = event_loop_new();
    port =
        stored_waiters_new(loop, &(struct stored_waiters_options){.dsn = "", .waiting = &waiting});
    test_clock_advance(500 - clock_monotonic_ms() % 500); /* the grid of all looks */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stored_waiters_free(port);
    assert_int_equal(waiting, 0);
    event_loop_free(loop);
    return 0;
}

struct seen {
    unsigned answers;
    enum order_wait_result result;
    char reason[32];
};

static void on_waited(void *arg, enum order_wait_result result, const char *reason)
{
    struct seen *seen = arg;
    seen->answers++;
    seen->result = result;
    assert_true((reason != NULL) == (result == ORDER_WAIT_DIED));
    if (reason != NULL)
        (void)snprintf(seen->reason, sizeof seen->reason, "%s", reason);
}

static struct order order_of(unsigned number)
{
    struct order order = {.amount_cents = 100 + number};
    memcpy(order.id.bytes, &number, sizeof number);
    order_set_name(&order, "Laptop", 6);
    return order;
}

static int wait_for_ms(const struct order *order, int64_t ms, struct seen *seen)
{
    int64_t now_ms = clock_monotonic_ms();
    return port->wait(port->self, order, now_ms - 7, now_ms + ms, on_waited, seen);
}

/* Let time pass, in which each look is answered at once. Returns how many there were. */
static unsigned pass(int64_t ms)
{
    unsigned before = table.looks;
    test_clock_pass(ms, {
        event_loop_turn(loop, 0);
        if (table.on_looked != NULL)
            answer_look();
    });
    return table.looks - before;
}

static void test_how_often(void **state)
{
    (void)state;
    struct order order = order_of(1);
    struct seen seen = {0};
    assert_int_equal(pass(1000), 0); /* nobody waits, nobody asks */
    assert_int_equal(wait_for_ms(&order, 10000, &seen), 0);
    assert_int_equal(table.looks, 0);
    assert_int_equal(pass(100), 10);
    assert_int_equal(table.asked, 1);
    assert_true(order_id_equal(&table.first, &order.id));
    assert_int_equal(pass(900), 18);
    assert_int_equal(pass(1000), 4);
    assert_int_equal(pass(7999), 31);
    assert_int_equal(seen.answers, 0);
    pass(1);
    assert_int_equal(seen.answers, 1);
    assert_int_equal(seen.result, ORDER_WAIT_OVER);
    assert_int_equal(waiting, 0);
    assert_int_equal(pass(1000), 0);
}

static void test_stored(void **state)
{
    (void)state;
    struct order orders[] = {order_of(3), order_of(1), order_of(2), order_of(1)};
    struct seen seen[4] = {{0}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wait_for_ms(&orders[i], 1000, &seen[i]), 0);
    assert_int_equal(waiting, 4);
    test_clock_pass(10, event_loop_turn(loop, 0));
    assert_int_equal(table.asked, 4);                 /* one look for all */
    add_news(ORDER_NEWS_STORED, &orders[1], NULL, 0); /* two requests wait for it */
    struct order other = orders[0];
    other.amount_cents++;
    add_news(ORDER_NEWS_STORED, &other, NULL, 0); /* another payload */
    struct order nobodys = order_of(77);
    add_news(ORDER_NEWS_STORED, &nobodys, NULL, 0);
    add_news(ORDER_NEWS_NONE, &orders[2], NULL, 0);
    answer_look();
    assert_int_equal(seen[1].answers + seen[3].answers, 2);
    assert_int_equal(seen[1].result, ORDER_WAIT_STORED);
    assert_int_equal(seen[0].answers + seen[2].answers, 0);
    assert_int_equal(waiting, 2);
    test_clock_pass(10, event_loop_turn(loop, 0));
    assert_int_equal(table.asked, 2);
    add_news(ORDER_NEWS_STORED, &orders[2], NULL, 0);
    answer_look();
    assert_int_equal(seen[2].answers, 1);
    pass(1000);
    assert_int_equal(seen[0].result, ORDER_WAIT_OVER);
}

static void test_died(void **state)
{
    (void)state;
    struct order orders[] = {order_of(1), order_of(2), order_of(3)};
    struct seen seen[3] = {{0}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(wait_for_ms(&orders[i], 1000, &seen[i]), 0);
    test_clock_pass(10, event_loop_turn(loop, 0));
    add_news(ORDER_NEWS_DIED, &orders[0], "refused", 17);
    add_news(ORDER_NEWS_DIED, &orders[1], "refused", 18); /* before this request came */
    add_news(ORDER_NEWS_DIED, &orders[2], "id_conflict", 1);
    add_news(ORDER_NEWS_STORED, &orders[2], NULL, 0); /* it was another order's death */
    answer_look();
    assert_int_equal(seen[0].result, ORDER_WAIT_DIED);
    assert_string_equal(seen[0].reason, "refused");
    assert_int_equal(seen[1].answers, 0);
    assert_int_equal(seen[2].answers, 1);
    assert_int_equal(seen[2].result, ORDER_WAIT_STORED);
}

/* While a look is under way, those who come wait for the next one, and waits end all the same. */
static void test_a_look_that_takes_long(void **state)
{
    (void)state;
    struct order orders[] = {order_of(1), order_of(2)};
    struct seen seen[2] = {{0}};
    assert_int_equal(wait_for_ms(&orders[0], 1000, &seen[0]), 0);
    test_clock_pass(10, event_loop_turn(loop, 0));
    assert_int_equal(wait_for_ms(&orders[1], 5000, &seen[1]), 0);
    test_clock_pass(989, event_loop_turn(loop, 0));
    assert_int_equal(seen[0].answers, 0);
    test_clock_pass(1, event_loop_turn(loop, 0));
    assert_int_equal(seen[0].result, ORDER_WAIT_OVER);
    assert_int_equal(seen[0].answers, 1);
    test_clock_pass(1000, event_loop_turn(loop, 0));
    assert_int_equal(table.looks, 1);
    add_news(ORDER_NEWS_STORED, &orders[0], NULL, 0); /* nobody waits for it now */
    answer_look();
    assert_int_equal(table.looks, 2); /* the other was due long ago */
    assert_true(order_id_equal(&table.first, &orders[1].id));
    add_news(ORDER_NEWS_STORED, &orders[1], NULL, 0);
    answer_look();
    assert_int_equal(seen[1].result, ORDER_WAIT_STORED);
}

static void test_looks_that_fail(void **state)
{
    (void)state;
    struct order order = order_of(1);
    struct seen seen = {0};
    table.connected = false;
    assert_int_equal(wait_for_ms(&order, 2000, &seen), 0);
    assert_int_equal(pass(200), 0);
    table.connected = true;
    assert_int_equal(pass(50), 1);
    test_clock_pass(50, event_loop_turn(loop, 0));
    answer_look_with(DATABASE_UNAVAILABLE);
    test_clock_pass(50, event_loop_turn(loop, 0));
    answer_look_with(DATABASE_FAILED);
    assert_int_equal(seen.answers, 0);
    test_clock_pass(50, event_loop_turn(loop, 0));
    add_news(ORDER_NEWS_STORED, &order, NULL, 0);
    answer_look();
    assert_int_equal(seen.result, ORDER_WAIT_STORED);
}

static void test_bounded(void **state)
{
    (void)state;
    static struct seen seen[STORED_WAITERS_MAX];
    struct order order = order_of(1);
    memset(seen, 0, sizeof seen);
    waiting = 1; /* on another loop */
    for (size_t i = 0; i < STORED_WAITERS_MAX - 1; i++)
        assert_int_equal(wait_for_ms(&order, 1000, &seen[i]), 0);
    assert_int_equal(wait_for_ms(&order, 1000, &seen[STORED_WAITERS_MAX - 1]), -1);
    test_clock_pass(10, event_loop_turn(loop, 0));
    assert_int_equal(table.asked, STORED_WAITERS_MAX - 1);
    add_news(ORDER_NEWS_STORED, &order, NULL, 0);
    answer_look();
    for (size_t i = 0; i < STORED_WAITERS_MAX - 1; i++)
        assert_int_equal(seen[i].answers, 1);
    assert_int_equal(seen[STORED_WAITERS_MAX - 1].answers, 0);
    assert_int_equal(waiting, 1);
    waiting = 0;
}

static void test_stop(void **state)
{
    (void)state;
    struct order order = order_of(1);
    struct seen seen[2] = {{0}};
    assert_int_equal(wait_for_ms(&order, 5000, &seen[0]), 0);
    test_clock_pass(10, event_loop_turn(loop, 0));
    stored_waiters_stop(port);
    assert_int_equal(seen[0].result, ORDER_WAIT_OVER);
    assert_int_equal(seen[0].answers, 1);
    assert_int_equal(wait_for_ms(&order, 5000, &seen[1]), -1);
    add_news(ORDER_NEWS_STORED, &order, NULL, 0);
    answer_look();
    assert_int_equal(pass(1000), 0);
    assert_int_equal(seen[0].answers, 1);
}

/* Those who wait are dropped; a look under way is the connection's to drop. */
static void test_freed(void **state)
{
    (void)state;
    struct order order = order_of(1);
    struct seen seen = {0};
    assert_int_equal(wait_for_ms(&order, 5000, &seen), 0);
    test_clock_pass(10, event_loop_turn(loop, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_how_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_died, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_look_that_takes_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looks_that_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
