#include "proto/amount.h"
#include "tests/unit/support/cmocka_headers.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_from_double(void **state)
{
    (void)state;
    static const struct {
        double value;
        int64_t cents;
    } good[] = {
        {0, 0},
        {-0.0, 0},
        {0.01, 1},
        {-0.01, -1},
        {1, 100},
        {1e2, 10000},
        {149.990, 14999},
        {1299.99, 129999},
        {0.07, 7},
        {0.29, 29},
        {1.10, 110},
        {4.35, 435},
        {9999999999.99, AMOUNT_MAX_CENTS},
        {-9999999999.99, -AMOUNT_MAX_CENTS},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t cents = 77;
        assert_int_equal(amount_from_double(good[i].value, &cents), 0);
        assert_int_equal(cents, good[i].cents);
    }

    static const double bad[] = {1.005,
                                 0.001,
                                 0.005,
                                 0.009999999,
                                 1e-300,
                                 12.345,
                                 0.30000000000000004 /* 0.1 + 0.2 */,
                                 1e10,
                                 9999999999.995,
                                 10000000000.0,
                                 -1e10,
                                 1e300,
                                 -1e300,
                                 INFINITY,
                                 -INFINITY,
                                 NAN,
                                 5e-324};
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t cents = 77;
        assert_int_equal(amount_from_double(bad[i], &cents), -1);
        assert_int_equal(cents, 77);
    }
}

static void test_from_decimal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t cents;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"-0.00", 0},
        {"0.01", 1},
        {"1299.99", 129999},
        {"1299.990", 129999},
        {"149.9", 14990},
        {"100", 10000},
        {"100.0000000000000000000000000000000000000000", 10000},
        {"-12.30", -1230},
        {"9999999999.99", AMOUNT_MAX_CENTS},
        {"-9999999999.9900", -AMOUNT_MAX_CENTS},
        {"0000000000000000000000000001.5", 150},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t cents = 77;
        assert_int_equal(amount_from_decimal(good[i].text, strlen(good[i].text), &cents), 0);
        assert_int_equal(cents, good[i].cents);
    }

    static const char *const bad[] = {"",
                                      "-",
                                      ".",
                                      "1.",
                                      ".5",
                                      "+1",
                                      "1,5",
                                      "1e2",
                                      " 1",
                                      "1 ",
                                      "NaN",
                                      "--1",
                                      "1.005",
                                      "1.001",
                                      "1.0000001",
                                      "Infinity",
                                      "0x10",
                                      "1.-5",
                                      "1.2.3",
                                      "1.00a",
                                      "10000000000",
                                      "99999999999999999999999999999999999999",
                                      "9999999999.991"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t cents = 77;
        assert_int_equal(amount_from_decimal(bad[i], strlen(bad[i]), &cents), -1);
        assert_int_equal(cents, 77);
    }

    int64_t cents;
    assert_int_equal(amount_from_decimal("12.345", 5, &cents), 0); /* only 5 bytes count */
    assert_int_equal(cents, 1234);
    assert_int_equal(amount_from_decimal("1\0002", 3, &cents), -1);
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t cents;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.01"},
        {-1, "-0.01"},
        {10, "0.1"},
        {99, "0.99"},
        {100, "1"},
        {-100, "-1"},
        {10000, "100"},
        {14990, "149.9"},
        {129999, "1299.99"},
        {100000000, "1000000"},
        {AMOUNT_MAX_CENTS, "9999999999.99"},
        {-AMOUNT_MAX_CENTS, "-9999999999.99"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[AMOUNT_TEXT_SIZE];
        assert_int_equal(amount_format(cases[i].cents, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

/* xorshift64*, seeded: a failure is the same one in the next run. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static void check_round_trip(int64_t cents)
{
    char text[AMOUNT_TEXT_SIZE];
    size_t len = amount_format(cents, text);
    int64_t from_text = 0, from_double = 0;
    if (amount_from_decimal(text, len, &from_text) != 0 || from_text != cents ||
        amount_from_double(strtod(text, NULL), &from_double) != 0 || from_double != cents)
        fail_msg("%lld cents: text \"%s\", back %lld, by double %lld", (long long)cents, text,
                 (long long)from_text, (long long)from_double);
}

static void test_every_amount_survives_text_and_double(void **state)
{
    (void)state;
    uint64_t seed = 20261123;
    for (int64_t cents = -100000; cents <= 100000; cents++)
        check_round_trip(cents);
    for (int64_t back = 0; back < 100000; back++) /* where doubles are coarsest */
        check_round_trip(AMOUNT_MAX_CENTS - back);
    for (int i = 0; i < 1500000; i++) {
        int64_t magnitude = AMOUNT_MAX_CENTS >> (next_random(&seed) % 40);
        check_round_trip((int64_t)(next_random(&seed) % (uint64_t)(2 * magnitude + 1)) - magnitude);
    }
}

/* The next doubles around an amount are no amounts: nothing is rounded silently. */
static void test_neighbours_of_an_amount_are_refused(void **state)
{
    (void)state;
    uint64_t seed = 20261124;
    for (int i = 0; i < 300000; i++) {
        int64_t cents = (int64_t)(next_random(&seed) % AMOUNT_MAX_CENTS) + 1, ignored;
        double value = (double)cents / 100.0;
        assert_int_equal(amount_from_double(nextafter(value, INFINITY), &ignored), -1);
        assert_int_equal(amount_from_double(nextafter(value, -INFINITY), &ignored), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_double),
        cmocka_unit_test(test_from_decimal),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_every_amount_survives_text_and_double),
        cmocka_unit_test(test_neighbours_of_an_amount_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
