#include "proto/timestamp.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>
#include <time.h>

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *utc; /* what it is in our own form */
    } good[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
        {"2026-11-23T06:45:12.345678Z", "2026-11-23T06:45:12.345678Z"},
        {"2026-11-23t06:45:12z", "2026-11-23T06:45:12Z"},
        {"2026-11-23T06:45:12.1Z", "2026-11-23T06:45:12.1Z"},
        {"2026-11-23T06:45:12.100000000Z", "2026-11-23T06:45:12.1Z"},
        {"2026-11-23T06:45:12.123456499Z", "2026-11-23T06:45:12.123456Z"},
        {"2026-11-23T06:45:12.1234565Z", "2026-11-23T06:45:12.123457Z"},
        {"2026-12-31T23:59:59.9999999Z", "2027-01-01T00:00:00Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"1969-12-31T23:59:59.9999995Z", "1970-01-01T00:00:00Z"},
        {"2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00Z"},
        {"2026-11-22T23:30:00-05:30", "2026-11-23T05:00:00Z"},
        {"2026-11-22T23:30:00-00:00", "2026-11-22T23:30:00Z"},
        {"2026-11-22T23:30:00+23:59", "2026-11-21T23:31:00Z"},
        {"2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"},
        {"2000-02-29T12:00:00Z", "2000-02-29T12:00:00Z"},
        {"2024-02-29T23:59:59.9999999+00:00", "2024-03-01T00:00:00Z"},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
        {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {"9999-12-31T23:59:59.999999499Z", "9999-12-31T23:59:59.999999Z"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t us;
        char text[TIMESTAMP_TEXT_SIZE];
        if (timestamp_parse(good[i].text, strlen(good[i].text), &us) != 0)
            fail_msg("refused: %s", good[i].text);
        assert_int_equal(timestamp_format(us, text), strlen(good[i].utc));
        assert_string_equal(text, good[i].utc);
    }

    static const char *const bad[] = {
        "",
        "2026-11-23",
        "2026-11-23T06:45Z",
        "2026-11-23T06:45:12",
        "2026-11-23 06:45:12Z",
        "2026-11-23T06:45:12,5Z",
        "2026-11-23T06:45:12.Z",
        "2026-11-23T06:45:12.1234567891Z",
        "2026-11-23T06:45:12.12a4Z",
        "2026-11-23T06:45:12Zx",
        "2026-11-23T06:45:12Z ",
        " 2026-11-23T06:45:12Z",
        "2026-11-23T06:45:12+0100",
        "2026-11-23T06:45:12+01",
        "2026-11-23T06:45:12+01:00:00",
        "2026-11-23T06:45:12+24:00",
        "2026-11-23T06:45:12+00:60",
        "2026-11-23T06:45:12*01:00",
        "2026-11-23T24:00:00Z",
        "2026-11-23T06:60:00Z",
        "2026-11-23T06:45:60Z",
        "2026-00-23T06:45:12Z",
        "2026-13-23T06:45:12Z",
        "2026-11-00T06:45:12Z",
        "2026-11-31T06:45:12Z",
        "2023-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2100-02-29T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59.9999995Z",
        "2026-1-23T06:45:12Z",
        "now",
        "infinity",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t us = 77;
        if (timestamp_parse(bad[i], strlen(bad[i]), &us) != -1 || us != 77)
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_no_prefix_is_a_timestamp(void **state)
{
    (void)state;
    static const char text[] = "2026-11-23T06:45:12.345678901+05:30";
    int64_t us;
    assert_int_equal(timestamp_parse(text, sizeof text - 1, &us), 0);
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_int_equal(timestamp_parse(text, len, &us), -1);
}

/* The calendar against libc's: each day of one whole cycle of it, samples of all years. */
static void test_days_agree_with_libc(void **state)
{
    (void)state;
    const int64_t day_us = INT64_C(86400000000), from_1900_us = -25567 * day_us;
    const int64_t to_2300_us = from_1900_us + 146097 * day_us;
    for (int64_t us = TIMESTAMP_MIN_US; us <= TIMESTAMP_MAX_US;
         us += us >= from_1900_us && us < to_2300_us ? day_us : 37 * day_us) {
        char text[TIMESTAMP_TEXT_SIZE], expected[64];
        struct tm tm;
        time_t seconds = us / 1000000;
        size_t len = timestamp_format(us, text);
        assert_non_null(gmtime_r(&seconds, &tm));
        int year = tm.tm_year + 1900;
        expected[0] = (char)('0' + year / 1000);
        expected[1] = (char)('0' + year / 100 % 10);
        expected[2] = (char)('0' + year / 10 % 10);
        expected[3] = (char)('0' + year % 10);
        assert_int_not_equal(strftime(expected + 4, sizeof expected - 4, "-%m-%dT%H:%M:%SZ", &tm),
                             0);
        int64_t back;
        if (strcmp(text, expected) != 0 || timestamp_parse(text, len, &back) != 0 || back != us)
            fail_msg("%s, libc says %s", text, expected);
    }
}

static void test_now(void **state)
{
    (void)state;
    time_t before = time(NULL);
    int64_t now_us = timestamp_now_us();
    assert_in_range(now_us / 1000000, before - 1, time(NULL) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_no_prefix_is_a_timestamp),
        cmocka_unit_test(test_days_agree_with_libc),
        cmocka_unit_test(test_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
