#include "services/gateway/adapters/shared_reads.h"
#include "services/loop/event_loop_h2o.h"
#include "tests/unit/gateway/fakes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Two loops in one thread: what one sends to the other goes by its queue all the same. */
struct side {
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue;
    struct event_loop *events;
    struct fakes fakes;
    struct order_reader *shared;
};

static struct side left, right;
static struct read_table *table;

static void begin(struct side *side)
{
    side->loop = h2o_evloop_create();
    side->queue = h2o_multithread_create_queue(side->loop);
    side->events = event_loop_h2o_new(side->loop);
    fakes_init(&side->fakes, side->events);
    side->shared = shared_reads_new(table, &side->fakes.reader, side->queue);
}

static void end(struct side *side)
{
    shared_reads_free(side->shared);
    event_loop_h2o_free(side->events);
    h2o_multithread_destroy_queue(side->queue);
    h2o_evloop_run(side->loop, 0);
    h2o_evloop_destroy(side->loop);
}

static int set_up(void **state)
{
    (void)state;
    table = read_table_new();
    begin(&left);
    begin(&right);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end(&left);
    end(&right);
    read_table_free(table);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 5; i++) {
        h2o_evloop_run(left.loop, 0);
        h2o_evloop_run(right.loop, 0);
    }
}

struct seen {
    unsigned answers;
    enum order_store_status status;
    int64_t amount_cents; /* 0: not found */
};

static void on_found(void *arg, enum order_store_status status, const struct order *order)
{
    struct seen *seen = arg;
    seen->answers++;
    seen->status = status;
    seen->amount_cents = order != NULL ? order->amount_cents : 0;
}

static struct order_id an_id(uint8_t last)
{
    struct order_id id = {{0}};
    id.bytes[15] = last;
    return id;
}

static int find(struct side *side, uint8_t last, struct seen *seen)
{
    struct order_id id = an_id(last);
    return side->shared->find(side->shared->self, &id, on_found, seen);
}

static unsigned queries(const struct side *side)
{
    unsigned count = 0;
    for (const char *at = side->fakes.calls; (at = strstr(at, "find ")) != NULL; at++)
        count++;
    return count;
}

static void test_a_crowd_is_one_query(void **state)
{
    (void)state;
    struct seen seen[20] = {{0}};
    left.fakes.rows[left.fakes.row_count++] = (struct order){.id = an_id(1), .amount_cents = 7};
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(find(i % 2 == 0 ? &left : &right, 1, &seen[i]), 0);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(seen[i].answers, 0); /* never from inside the call */
    turn();
    assert_int_equal(queries(&left), 1);
    assert_int_equal(queries(&right), 0);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(seen[i].answers, 1);
        assert_int_equal(seen[i].status, ORDER_STORE_OK);
        assert_int_equal(seen[i].amount_cents, 7);
    }
    /* the next one asks again */
    assert_int_equal(find(&right, 1, &seen[0]), 0);
    turn();
    assert_int_equal(queries(&right), 1);
    assert_int_equal(seen[0].amount_cents, 0);
}

static void test_orders_are_told_apart(void **state)
{
    (void)state;
    struct seen seen[3] = {{0}};
    left.fakes.rows[left.fakes.row_count++] = (struct order){.id = an_id(1), .amount_cents = 7};
    left.fakes.rows[left.fakes.row_count++] = (struct order){.id = an_id(2), .amount_cents = 8};
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(find(&left, (uint8_t)(i + 1), &seen[i]), 0);
    turn();
    assert_int_equal(queries(&left), 3);
    assert_int_equal(seen[0].amount_cents, 7);
    assert_int_equal(seen[1].amount_cents, 8);
    assert_int_equal(seen[2].amount_cents, 0);
}

static void test_failures_are_shared(void **state)
{
    (void)state;
    struct seen seen[2] = {{0}};
    left.fakes.store_mode = FAKE_FAILS;
    left.fakes.store_status = ORDER_STORE_FAILED;
    assert_int_equal(find(&left, 1, &seen[0]), 0);
    assert_int_equal(find(&right, 1, &seen[1]), 0);
    turn();
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(seen[i].answers, 1);
        assert_int_equal(seen[i].status, ORDER_STORE_FAILED);
    }
    left.fakes.store_mode = FAKE_REFUSES;
    assert_int_equal(find(&left, 1, &seen[0]), -1);
    turn();
    assert_int_equal(seen[0].answers, 1);
    left.fakes.store_mode = FAKE_WORKS;
    assert_int_equal(find(&left, 1, &seen[0]), 0);
    turn();
    assert_int_equal(seen[0].answers, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_crowd_is_one_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_orders_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures_are_shared, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
