/* Where the steps of a walk begin and end, and how large they are, by the test's clock. */
#include "services/clients/postgres/order_walk.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/test_clock.h"
#include <string.h>

#define HOUR ORDER_HOUR_US
#define MINUTE (HOUR / 60)

/* A step of this duration, read to its end. */
static void step(struct order_walk *walk, int64_t took_ms, enum order_walk_found found)
{
    order_walk_begin(walk);
    test_clock_advance(took_ms);
    if (walk->by_key)
        order_walk_end_keys(walk, walk->step, "last");
    else
        order_walk_end_time(walk);
    order_walk_adapt(walk, found);
}

/* Steps follow each other without a gap to the end of the range, the first one 10 minutes long. */
static void test_by_time(void **state)
{
    (void)state;
    struct order_walk walk;
    int64_t at_us = -5 * HOUR + 7, steps = 0;
    order_walk_init(&walk, false, at_us, 20 * HOUR, NULL, 0);
    assert_int_equal(walk.step, 10 * MINUTE);
    for (; !walk.ended; steps++) {
        order_walk_begin(&walk);
        int64_t left_us = 20 * HOUR - at_us;
        assert_int_equal(walk.at_us, at_us);
        assert_int_equal(walk.until_us - at_us, walk.step < left_us ? walk.step : left_us);
        at_us = walk.until_us;
        order_walk_end_time(&walk);
        order_walk_adapt(&walk, ORDER_WALK_FEW);
    }
    assert_int_equal(at_us, 20 * HOUR);
    assert_int_equal(steps, 8); /* 10, 20, 40, … minutes */
    order_walk_release(&walk);

    order_walk_init(&walk, false, HOUR, HOUR, NULL, 0);
    assert_true(walk.ended);
}

/* Quick steps grow, slow ones shrink, those that find much are halved, a failure takes a quarter,
 * and there are bounds. */
static void test_sizes(void **state)
{
    (void)state;
    for (int by_key = 0; by_key <= 1; by_key++) {
        struct order_walk walk;
        order_walk_init(&walk, by_key != 0, 0, INT64_MAX / 2, NULL, 0);
        int64_t first = walk.step;
        step(&walk, 99, ORDER_WALK_FEW);
        assert_int_equal(walk.step, 2 * first);
        step(&walk, 99, ORDER_WALK_ENOUGH);
        assert_int_equal(walk.step, 2 * first);
        step(&walk, 250, ORDER_WALK_FEW);
        assert_int_equal(walk.step, 2 * first);
        step(&walk, 401, ORDER_WALK_SOME);
        assert_int_equal(walk.step, first);
        order_walk_begin(&walk);
        order_walk_adapt(&walk, ORDER_WALK_MANY);
        assert_int_equal(walk.step, first / 2);
        step(&walk, 0, ORDER_WALK_SOME);
        order_walk_begin(&walk);
        int64_t at_us = walk.at_us, until_us = walk.until_us;
        order_walk_adapt(&walk, ORDER_WALK_TOO_LONG);
        assert_int_equal(walk.step, first / 4);
        order_walk_begin(&walk); /* the same rows, fewer of them */
        assert_int_equal(walk.at_us, at_us);
        assert_true(by_key || walk.until_us < until_us);
        for (int i = 0; i < 40; i++)
            step(&walk, 0, ORDER_WALK_SOME);
        assert_int_equal(walk.step, by_key ? ORDER_WALK_KEYS_MAX : ORDER_WALK_TIME_MAX);
        for (int i = 0; i < 60; i++)
            step(&walk, 1000, ORDER_WALK_SOME);
        assert_in_range(walk.step, 1, first / 8);
        order_walk_release(&walk);
    }
}

/* Steps that take long for few rows: the walk goes on by key, with what is left. */
static void test_in_vain(void **state)
{
    (void)state;
    struct order_walk walk;
    order_walk_init(&walk, false, 0, 1000 * HOUR, NULL, 0);
    for (int i = 0; i < 4; i++)
        step(&walk, 500, ORDER_WALK_FEW);
    step(&walk, 500, ORDER_WALK_SOME); /* there was something to read */
    for (int i = 0; i < 5; i++) {
        assert_false(walk.by_key);
        step(&walk, 500, ORDER_WALK_FEW);
    }
    assert_true(walk.by_key);
    assert_int_equal(walk.from_us, walk.at_us);
    assert_true(walk.from_us > 0);
    assert_int_equal(walk.to_us, 1000 * HOUR);
    assert_int_equal(walk.step, 2000);
    assert_null(walk.after);
    for (int i = 0; i < 9; i++) /* by key there is nothing better */
        step(&walk, 500, ORDER_WALK_FEW);
    assert_true(walk.by_key);
    order_walk_release(&walk);

    /* Statements that fail however short their time is. */
    order_walk_init(&walk, false, 0, 1000 * HOUR, NULL, 0);
    for (int i = 0; i < 12 && !walk.by_key; i++) {
        order_walk_begin(&walk);
        order_walk_adapt(&walk, ORDER_WALK_TOO_LONG);
    }
    assert_true(walk.by_key);
    assert_int_equal(walk.from_us, 0);
    order_walk_release(&walk);
}

/* Only over these hours: without the gaps between them, and not beyond the range. */
static void test_hours(void **state)
{
    (void)state;
    static const int64_t hours[] = {2 * HOUR, 3 * HOUR, 4 * HOUR, 9 * HOUR, 30 * HOUR};
    static const int64_t expected[][2] = {{2 * HOUR + 5, 5 * HOUR}, {9 * HOUR, 10 * HOUR}};
    struct order_walk walk;
    order_walk_init(&walk, false, 2 * HOUR + 5, 20 * HOUR, hours, COUNT(hours));
    walk.step = 6 * HOUR;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_false(walk.ended);
        order_walk_begin(&walk);
        assert_int_equal(walk.at_us, expected[i][0]);
        assert_int_equal(walk.until_us, expected[i][1]);
        order_walk_end_time(&walk);
    }
    assert_true(walk.ended);

    order_walk_init(&walk, false, 0, 9 * HOUR + 3 * MINUTE, hours, COUNT(hours));
    walk.step = HOUR / 2;
    unsigned steps = 0;
    for (; !walk.ended; steps++) {
        order_walk_begin(&walk);
        assert_true(walk.until_us <= 9 * HOUR + 3 * MINUTE);
        assert_true(order_walk_wants(&walk, order_hour_of(walk.at_us)));
        order_walk_end_time(&walk);
    }
    assert_int_equal(steps, 7);

    /* Without what is left out. */
    static const int64_t around[][2] = {{2 * HOUR, 3 * HOUR + 5}, {9 * HOUR, 10 * HOUR}};
    order_walk_init(&walk, false, 0, 20 * HOUR, hours, COUNT(hours));
    order_walk_leave_out(&walk, 3 * HOUR + 5, 8 * HOUR);
    walk.step = 20 * HOUR;
    for (size_t i = 0; i < COUNT(around); i++) {
        order_walk_begin(&walk);
        assert_int_equal(walk.at_us, around[i][0]);
        assert_int_equal(walk.until_us, around[i][1]);
        order_walk_end_time(&walk);
    }
    assert_true(walk.ended);

    order_walk_init(&walk, true, 5 * HOUR, 9 * HOUR, hours, COUNT(hours));
    assert_true(walk.ended);
    assert_true(order_walk_wants(&walk, 3 * HOUR));
    assert_false(order_walk_wants(&walk, 5 * HOUR));
    assert_false(order_walk_wants(&walk, 31 * HOUR));
    order_walk_init(&walk, true, 5 * HOUR, 9 * HOUR, NULL, 0);
    assert_true(order_walk_wants(&walk, 5 * HOUR));
    assert_int_equal(order_hour_of(-1), -HOUR);
    assert_int_equal(order_hour_of(-HOUR), -HOUR);
    assert_int_equal(order_hour_of(HOUR + 1), HOUR);
}

/* A page that is full ends in the middle of a step. */
static void test_paused(void **state)
{
    (void)state;
    struct order_walk walk;
    order_walk_init(&walk, false, 0, HOUR, NULL, 0);
    order_walk_begin(&walk);
    assert_null(walk.after);
    order_walk_pause(&walk, "b", 5 * MINUTE);
    order_walk_begin(&walk);
    assert_int_equal(walk.at_us, 5 * MINUTE);
    assert_int_equal(walk.until_us, 15 * MINUTE);
    assert_string_equal(walk.after, "b");
    order_walk_end_time(&walk);
    assert_null(walk.after);
    assert_int_equal(walk.at_us, 15 * MINUTE);
    order_walk_release(&walk);

    order_walk_init(&walk, true, 0, HOUR, NULL, 0);
    order_walk_pause(&walk, "b", 5 * MINUTE);
    assert_string_equal(walk.after, "b");
    order_walk_end_keys(&walk, walk.step, "c");
    assert_false(walk.ended);
    assert_string_equal(walk.after, "c");
    order_walk_end_keys(&walk, walk.step - 1, "d");
    assert_true(walk.ended);
    order_walk_release(&walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_time), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_hours),   cmocka_unit_test(test_paused),
        cmocka_unit_test(test_in_vain),
    };
    return cmocka_run_group_tests_name("order walk", tests, NULL, NULL);
}
