#include "services/base/backoff.h"
#include "services/base/clock.h"
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        int64_t base_ms, cap_ms;
        unsigned failures; /* before this one */
        int64_t low_ms, high_ms;
    } cases[] = {
        {100, 5000, 0, 50, 100},  {100, 5000, 1, 50, 200},        {100, 5000, 5, 50, 3200},
        {100, 5000, 6, 50, 5000}, {100, 5000, 7, 50, 5000},       {100, 5000, UINT_MAX, 50, 5000},
        {100, 100, 9, 50, 100},   {100, 20, 0, 20, 20}, /* a cap below the base */
        {0, 5000, 9, 0, 0},       {1, 86400000, 40, 0, 86400000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct backoff backoff = {cases[i].base_ms, cases[i].cap_ms, cases[i].failures};
        assert_int_equal(backoff_next_ms(&backoff, 0), cases[i].low_ms);
        backoff.failures = cases[i].failures;
        assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX), cases[i].high_ms);
        assert_true(backoff.failures >= cases[i].failures);
    }
}

static void test_reset(void **state)
{
    (void)state;
    struct backoff backoff = {.base_ms = 100, .cap_ms = 1000};
    int64_t first = backoff_next_ms(&backoff, UINT32_MAX);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX), 2 * first);
    backoff_reset(&backoff);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX), first);
}

static void test_clock(void **state)
{
    (void)state;
    int64_t before_us = clock_monotonic_us(), ms = clock_monotonic_ms();
    assert_in_range(ms, before_us / 1000, clock_monotonic_us() / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
