/* One batch at a time, or two: by a store that is a function from the number to the pace. */
#include "services/worker/width.h"
#include "tests/unit/support/cmocka_headers.h"

#define BATCH 1000

struct store {
    double pace[WIDTH_MAX + 1]; /* orders in a second with so many batches at once */
};

static struct width width;
static int64_t now_ms;

static int begin(void **state)
{
    (void)state;
    now_ms = 1000;
    width_init(&width, WIDTH_MAX);
    return 0;
}

/* A backlog for so long; returns the share of it with two batches at once. */
static double run(const struct store *store, int64_t for_ms)
{
    int64_t begun_ms = now_ms, with_two_ms = 0;
    while (now_ms < begun_ms + for_ms) {
        int64_t took_ms = (int64_t)(1000.0 * BATCH / store->pace[width.now]);
        now_ms += took_ms;
        with_two_ms += width.now == 2 ? took_ms : 0;
        width_ended(&width, BATCH, WIDTH_END_BUSY, now_ms);
    }
    return (double)with_two_ms / (double)for_ms;
}

static const struct store quicker = {.pace = {0, 40000, 60000}};
static const struct store no_quicker = {.pace = {0, 40000, 43000}};
static const struct store slower = {.pace = {0, 40000, 20000}};

static void two_where_they_are_quicker(void **state)
{
    (void)state;
    (void)run(&quicker, 4000);
    assert_int_equal(width.now, 2);
    assert_true(run(&quicker, 120000) > 0.95); /* one is looked at now and then */
    assert_int_equal(width.now, 2);
}

static void one_where_two_are_not(void **state)
{
    (void)state;
    static const struct store *const stores[] = {&no_quicker, &slower};
    for (size_t i = 0; i < COUNT(stores); i++) {
        (void)begin(state);
        double with_two = run(stores[i], 120000);
        assert_true(with_two > 0.005 && with_two < 0.05);
        assert_int_equal(width.now, 1);
    }
}

static void the_store_may_change(void **state)
{
    (void)state;
    (void)run(&quicker, 5000);
    assert_int_equal(width.now, 2);
    (void)run(&slower, 35000);
    assert_int_equal(width.now, 1);
    (void)run(&quicker, 35000);
    assert_int_equal(width.now, 2);
}

static void a_bad_end_ends_it_at_once(void **state)
{
    (void)state;
    (void)run(&quicker, 5000);
    width_ended(&width, BATCH, WIDTH_END_BAD, now_ms);
    assert_int_equal(width.now, 1);
    assert_true(run(&quicker, 29000) == 0);
    (void)run(&quicker, 5000);
    assert_int_equal(width.now, 2);
}

/* A server that warms up takes more orders each second, with one batch at a time and with two. */
static void a_rising_pace_is_not_for_the_number(void **state)
{
    (void)state;
    struct store store = {.pace = {0, 10000, 10000}};
    double with_two_s = 0;
    for (unsigned second = 0; second < 60; second++) {
        with_two_s += run(&store, 1000);
        store.pace[1] += 1500;
        store.pace[2] += 1500;
    }
    assert_true(with_two_s < 5);
    assert_int_equal(width.now, 1);
}

/* Batches that nothing waited for are as far apart as orders come. */
static void nothing_is_measured_without_a_backlog(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        now_ms += 25;
        width_ended(&width, BATCH, i % 7 == 0 ? WIDTH_END_IDLE : WIDTH_END_BUSY, now_ms);
        assert_int_equal(width.now, 1);
    }
}

static void a_slow_store_is_measured_by_enough_batches(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        now_ms += 900;
        width_ended(&width, BATCH, WIDTH_END_BUSY, now_ms);
        assert_int_equal(width.now, 1);
    }
    now_ms += 900;
    width_ended(&width, BATCH, WIDTH_END_BUSY, now_ms);
    assert_int_equal(width.now, 2);
}

static void one_alone_is_never_left(void **state)
{
    (void)state;
    width_init(&width, 1);
    assert_true(run(&quicker, 100000) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_where_they_are_quicker, begin),
        cmocka_unit_test_setup(one_where_two_are_not, begin),
        cmocka_unit_test_setup(the_store_may_change, begin),
        cmocka_unit_test_setup(a_bad_end_ends_it_at_once, begin),
        cmocka_unit_test_setup(a_rising_pace_is_not_for_the_number, begin),
        cmocka_unit_test_setup(nothing_is_measured_without_a_backlog, begin),
        cmocka_unit_test_setup(a_slow_store_is_measured_by_enough_batches, begin),
        cmocka_unit_test_setup(one_alone_is_never_left, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
