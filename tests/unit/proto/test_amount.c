#include "proto/amount.h"
#include "tests/unit/support/cmocka_headers.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

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
        {"1e2", 10000},
        {"1E+2", 10000},
        {"1e+06", 100000000},
        {"149.990", 14999},
        {"0.1e1", 100},
        {"12.34e0", 1234},
        {"1234e-2", 1234},
        {"1.0000e1", 1000},
        {"-1.5e00000000000000000000000000000001", -1500},
        {"100000000000000000000e-20", 100},
        {"0.00000000000000000000000129999e+27", 129999},
        {"99999999999900000e-7", AMOUNT_MAX_CENTS},
        {"0e999999999", 0},
        {"-0.000e-99999999999999999999999999999999999999", 0},
        {"0e9223372036854775807", 0},
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
                                      "9999999999.991",
                                      "1.0000000000000000001",
                                      "0.99999999999999999999",
                                      "9999999999.990000000000000000000001",
                                      "1e-400",
                                      "1e-3",
                                      "1e10",
                                      "1e400",
                                      "1e999999999999",
                                      "1e-999999999999",
                                      "1e9223372036854775807",
                                      "1e-9223372036854775808",
                                      "1e18446744073709551616",
                                      "1e",
                                      "1e+",
                                      "1e-",
                                      "1e--1",
                                      "1e1.0",
                                      "1ee1",
                                      "1e1 ",
                                      "e1",
                                      "-e1",
                                      "1.e1"};
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

/* {zeros} zeros, then what they stand between: each text is read in one pass. */
static void test_many_zeros(void **state)
{
    (void)state;
    enum { ZEROS = 10000 };
    static const struct {
        const char *before, *after;
        int result;
        int64_t cents;
    } cases[] = {
        {"0.", "1", -1, 77},      {"0.", "1e10001", 0, 100},
        {"0.", "1e9999", 0, 1},   {"0.", "1e9998", -1, 77},
        {"1", "e-10000", 0, 100}, {"1", "e-10003", -1, 77},
        {"1", "", -1, 77},        {"1.", "", 0, 100},
        {"1.", "1", -1, 77},      {"1", "1e-10001", -1, 77},
        {"", "", 0, 0},           {"", "1", 0, 100},
        {"1e", "", 0, 100},       {"1e-", "2", 0, 1},
        {"0e1", "", 0, 0},
    };
    static char text[ZEROS + 32];
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t cents = 77;
        int len =
            snprintf(text, sizeof text, "%s%0*d%s", cases[i].before, ZEROS, 0, cases[i].after);
        if (amount_from_decimal(text, (size_t)len, &cents) != cases[i].result ||
            cents != cases[i].cents)
            fail_msg("%s(zeros)%s: %lld cents", cases[i].before, cases[i].after, (long long)cents);
    }
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
    int64_t back = 0;
    if (amount_from_decimal(text, len, &back) != 0 || back != cents)
        fail_msg("%lld cents: text \"%s\", back %lld", (long long)cents, text, (long long)back);
}

static void test_every_amount_survives_its_text(void **state)
{
    (void)state;
    uint64_t seed = 20261123;
    for (int64_t cents = -100000; cents <= 100000; cents++)
        check_round_trip(cents);
    for (int i = 0; i < 1500000; i++) {
        int64_t magnitude = AMOUNT_MAX_CENTS >> (next_random(&seed) % 40);
        check_round_trip((int64_t)(next_random(&seed) % (uint64_t)(2 * magnitude + 1)) - magnitude);
    }
}

/* A producer that has a double prints enough digits to tell it from its neighbours: the double of
 * an amount is that amount, the next doubles are none. */
static void test_doubles_of_other_programs(void **state)
{
    (void)state;
    uint64_t seed = 20261124;
    for (int i = 0; i < 300000; i++) {
        int64_t cents = (int64_t)(next_random(&seed) % AMOUNT_MAX_CENTS) + 1, back = 0;
        double value = (double)cents / 100.0;
        char text[40];
        int len = snprintf(text, sizeof text, "%.15g", value);
        assert_int_equal(amount_from_decimal(text, (size_t)len, &back), 0);
        assert_int_equal(back, cents);
        const double neighbours[] = {nextafter(value, INFINITY), nextafter(value, -INFINITY)};
        for (size_t n = 0; n < COUNT(neighbours); n++) {
            len = snprintf(text, sizeof text, "%.17g", neighbours[n]);
            assert_int_equal(amount_from_decimal(text, (size_t)len, &back), -1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_decimal),
        cmocka_unit_test(test_many_zeros),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_every_amount_survives_its_text),
        cmocka_unit_test(test_doubles_of_other_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
