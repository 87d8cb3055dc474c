/* Which hours are looked into. */
#include "services/scheduler/index/compare_hours.h"
#include "tests/unit/support/cmocka_headers.h"
#include <math.h>
#include <stdlib.h>

#define HOUR(n) ((n)*ORDER_HOUR_US)

static void add_orders(struct compare_hours *hours, int64_t hour, int64_t orders, int64_t cents)
{
    compare_hours_add_orders(hours, &(struct order_hour){.start_us = HOUR(hour),
                                                         .orders = orders,
                                                         .sum_cents = cents,
                                                         .magnitude_cents = llabs(cents)});
}

static void add_documents(struct compare_hours *hours, int64_t hour, int64_t documents,
                          double amount)
{
    compare_hours_add_documents(hours, HOUR(hour), documents, amount);
}

/* A float keeps 24 bits of each amount, and a sum of a million of them is off by units. */
static void test_differs(void **state)
{
    (void)state;
    static const struct {
        struct compare_hour hour;
        bool by_double, by_float, by_count;
    } cases[] = {
        {{.orders = 3, .documents = 3}, false, false, false},
        {{.orders = 3, .documents = 2}, true, true, true},
        {{.orders = 0, .documents = 1}, true, true, true},
        {{.orders = 2, .documents = 2, .cents = 1999, .magnitude_cents = 1999, .amount = 19.99},
         false,
         false,
         false},
        {{.orders = 2, .documents = 2, .cents = 1999, .magnitude_cents = 1999, .amount = 20},
         true,
         true,
         false},
        {{.orders = 1, .documents = 1, .cents = 1, .amount = NAN}, true, true, false},
        /* 1,000,000 amounts of 99.99, as the sums of floats are. */
        {{.orders = 1000000,
          .documents = 1000000,
          .cents = 9999000000,
          .magnitude_cents = 9999000000,
          .amount = 99989997.86},
         true,
         false,
         false},
        {{.orders = 1000000,
          .documents = 1000000,
          .cents = 9999000000,
          .magnitude_cents = 9999000000,
          .amount = 99989970},
         true,
         true,
         false},
        /* What cancels out in the sum still rounds. */
        {{.orders = 2, .documents = 2, .magnitude_cents = 9999999999998, .amount = 0.3},
         true,
         false,
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct compare_hour *hour = &cases[i].hour;
        assert_int_equal(compare_hour_differs(hour, (struct compare_choice){.every = false}),
                         cases[i].by_double);
        assert_int_equal(compare_hour_differs(hour, (struct compare_choice){.floats = true}),
                         cases[i].by_float);
        assert_int_equal(compare_hour_differs(hour, (struct compare_choice){.counts_only = true}),
                         cases[i].by_count);
    }
}

/* Rows that are read by key bring an hour again and again. */
static void test_adding(void **state)
{
    (void)state;
    struct compare_hours hours = {.hours = NULL};
    for (int round = 0; round < 50; round++)
        for (int hour = 0; hour < 300; hour++)
            add_orders(&hours, hour * 7 % 300 - 100, 2, 150);
    for (int hour = 299; hour >= 0; hour--)
        add_documents(&hours, hour - 100, 100, 75);
    assert_int_equal(compare_hours_settle(&hours), 0);
    assert_int_equal(hours.count, 300);
    assert_int_equal(hours.orders, 30000);
    assert_int_equal(hours.documents, 30000);
    assert_true(hours.capacity < 4096);
    for (size_t i = 0; i < hours.count; i++) {
        assert_true(hours.hours[i].start_us == HOUR((int64_t)i - 100));
        assert_false(compare_hour_differs(&hours.hours[i], (struct compare_choice){.every = true}));
    }
    compare_hours_release(&hours);
}

static void test_too_many(void **state)
{
    (void)state;
    struct compare_hours hours = {.hours = NULL};
    for (int64_t hour = 0; hour < COMPARE_HOURS_MAX; hour++)
        add_orders(&hours, hour, 1, 1);
    assert_int_equal(compare_hours_settle(&hours), 0);
    for (int64_t hour = 0; hour < 1000000; hour++)
        add_documents(&hours, hour, 1, 1);
    assert_int_equal(compare_hours_settle(&hours), -1);
    assert_true(hours.capacity <= 4 * COMPARE_HOURS_MAX);
    compare_hours_release(&hours);
}

/* Hours 10 to 12 and 20 differ, 13 agrees; 14 is empty. */
static void fill(struct compare_hours *hours)
{
    for (int64_t hour = 10; hour < 13; hour++) {
        add_orders(hours, hour, 5, 500);
        add_documents(hours, hour, hour == 12 ? 7 : 4, 4);
    }
    add_orders(hours, 13, 5, 500);
    add_documents(hours, 13, 5, 5);
    add_documents(hours, 20, 1, 1);
    assert_int_equal(compare_hours_settle(hours), 0);
}

static void assert_span(const struct compare_hours *hours, struct compare_choice choice, size_t *at,
                        size_t longest, int64_t from, int64_t to)
{
    struct compare_span span;
    assert_true(compare_hours_next(hours, choice, *at, hours->count, longest, &span));
    assert_true(span.from_us == HOUR(from));
    assert_true(span.to_us == HOUR(to));
    *at = span.end;
}

static void test_spans(void **state)
{
    (void)state;
    struct compare_hours hours = {.hours = NULL};
    const struct compare_choice differing = {.every = false}, every = {.every = true};
    struct compare_span span;
    int64_t starts[5];
    fill(&hours);

    size_t at = 0;
    assert_span(&hours, differing, &at, 2, 10, 12);
    assert_span(&hours, differing, &at, 2, 12, 13);
    assert_span(&hours, differing, &at, 2, 20, 21);
    assert_false(compare_hours_next(&hours, differing, at, hours.count, 2, &span));

    at = 0;
    assert_span(&hours, every, &at, 24, 10, 14);
    assert_span(&hours, every, &at, 24, 20, 21);
    assert_false(compare_hours_next(&hours, every, at, hours.count, 24, &span));

    assert_true(compare_hours_next(&hours, differing, 0, hours.count, 0, &span));
    assert_true(span.from_us == HOUR(10) && span.to_us == HOUR(21));
    assert_int_equal(compare_hours_list(&hours, differing, &span, starts), 4);
    assert_true(starts[2] == HOUR(12) && starts[3] == HOUR(20));
    assert_true(compare_hours_differ(&hours, differing, &span));
    assert_false(
        compare_hours_differ(&hours, differing, &(struct compare_span){.first = 3, .end = 4}));

    /* A part of a span ends where the span does, however long it may be. */
    assert_true(compare_hours_next(&hours, every, 1, 3, 24, &span));
    assert_true(span.from_us == HOUR(11) && span.to_us == HOUR(13));
    assert_true(compare_hours_next(&hours, differing, 0, 4, 0, &span));
    assert_true(span.from_us == HOUR(10) && span.to_us == HOUR(13));
    assert_false(compare_hours_next(&hours, differing, 3, 4, 24, &span));

    assert_int_equal(compare_hours_lacking(&hours), 2);
    assert_int_equal(compare_hours_surplus(&hours), 3);
    assert_int_equal(compare_hours_lookups(&hours, differing), 15);
    assert_int_equal(compare_hours_lookups(&hours, every), 20);
    compare_hours_release(&hours);
    assert_false(compare_hours_next(&hours, every, 0, hours.count, 0, &span));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differs),
        cmocka_unit_test(test_adding),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
