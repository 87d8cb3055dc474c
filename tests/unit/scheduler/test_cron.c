#include "proto/timestamp.h"
#include "services/scheduler/cron.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#define HOUR_US INT64_C(3600000000)

static int64_t us_of(const char *text)
{
    int64_t us = 0;
    assert_int_equal(timestamp_parse(text, strlen(text), &us), 0);
    return us;
}

static struct cron parse(const char *text)
{
    struct cron cron;
    struct error err;
    if (cron_parse(text, &cron, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    return cron;
}

#define R (INT64_MAX) /* refused */
#define N CRON_NEVER

static const struct {
    int64_t from_us;
    const char *schedule;
    int64_t next_us[3];
} robfig[] = {
#include "robfig_vectors.inc"
};

static void test_same_answers_as_robfig(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(robfig); i++) {
        struct cron cron;
        struct error err = {""};
        bool refused = cron_parse(robfig[i].schedule, &cron, &err) != 0;
        if (refused != (robfig[i].next_us[0] == R))
            fail_msg("\"%s\": refused %d %s", robfig[i].schedule, refused, err.message);
        int64_t us = robfig[i].from_us;
        for (size_t step = 0; step < 3 && !refused && us != N; step++) {
            us = cron_next(&cron, us);
            if (us != robfig[i].next_us[step])
                fail_msg("\"%s\" from %lld, step %zu: %lld, not %lld", robfig[i].schedule,
                         (long long)robfig[i].from_us, step, (long long)us,
                         (long long)robfig[i].next_us[step]);
        }
    }
}

/* The rules around a change of daylight saving, in words a person can check. */
static void test_daylight_saving(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *from, *next;
    } cases[] = {
        /* 02:30 does not exist on 2026-03-29 in Berlin: skipped */
        {"TZ=Europe/Berlin 30 2 * * *", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"},
        /* 02:30 exists twice on 2026-10-25: the first one runs, and the second does, too */
        {"TZ=Europe/Berlin 30 2 * * *", "2026-10-24T02:00:00Z", "2026-10-25T00:30:00Z"},
        {"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
        {"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
        /* every hour: neither twice nor left out */
        {"TZ=Europe/Berlin 0 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
        {"TZ=Europe/Berlin 0 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
        /* no midnight on 2018-11-04 in Sao Paulo */
        {"TZ=America/Sao_Paulo 0 9 4 11 ?", "2018-10-01T00:00:00Z", "2018-11-04T11:00:00Z"},
        /* UTC unless told otherwise */
        {"30 2 * * *", "2026-03-28T03:00:00Z", "2026-03-29T02:30:00Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron cron = parse(cases[i].schedule);
        char text[TIMESTAMP_TEXT_SIZE];
        (void)timestamp_format(cron_next(&cron, us_of(cases[i].from)), text);
        if (strcmp(text, cases[i].next) != 0)
            fail_msg("%s from %s: %s", cases[i].schedule, cases[i].from, text);
    }
}

static void test_a_day_that_does_not_exist_is_passed(void **state)
{
    (void)state;
    struct cron cron = parse("TZ=Pacific/Apia 0 12 31 * ?"); /* there was no 2011-12-30 */
    assert_int_equal(cron_next(&cron, us_of("2011-12-29T20:00:00Z")),
                     us_of("2011-12-30T22:00:00Z"));
}

static void test_refusals_say_where_and_not_what(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *reason;
    } cases[] = {
        {"", "empty schedule"},
        {"*/0 * * * *", "minute: item 1 has a step of 0"},
        {"0,60 * * * *", "minute: item 2 is not within 0-59"},
        {"0 5-3 * * *", "hour: item 1 begins after its end"},
        {"0 0 * canary *", "month: item 1 is not a number"},
        {"0 0 * * 7", "day of week: item 1 is not within 0-6"},
        {"0 0 1/2/3 * *", "day of month: item 1 has too many slashes"},
        {"0 0 1-2-3 * *", "day of month: item 1 has too many hyphens"},
        {"* * * *", "expected 5 fields, found 4"},
        {"@canary", "not one of @yearly"},
        {"@every canary", "@every without a duration"},
        {"TZ=Canary/Islands @daily", "no such time zone"},
        {"TZ=../../../etc/passwd @daily", "no such time zone"},
        {"TZ=UTC", "expected 5 fields, found 0"}, /* robfig panics */
        {"CRON_TZ=UTC ", "expected 5 fields, found 0"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron cron = {.every_s = 77};
        struct error err = {""};
        assert_int_equal(cron_parse(cases[i].schedule, &cron, &err), -1);
        if (strstr(err.message, cases[i].reason) == NULL || strcasestr(err.message, "canary"))
            fail_msg("\"%s\": %s", cases[i].schedule, err.message);
        assert_int_equal(cron.every_s, 77);
    }

    char long_text[CRON_TEXT_MAX_BYTES + 2];
    struct cron cron;
    struct error err;
    memset(long_text, ',', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(cron_parse(long_text, &cron, &err), -1);
    memcpy(long_text + CRON_TEXT_MAX_BYTES - 8, " * * * *", 9);
    assert_int_equal(cron_parse(long_text, &cron, &err), 0);
}

/* Schedules of two zones do not disturb each other. */
static void test_a_zone_each(void **state)
{
    (void)state;
    struct cron berlin = parse("TZ=Europe/Berlin @daily"), utc = parse("@daily"),
                apia = parse("TZ=Pacific/Apia @daily");
    int64_t us = us_of("2026-11-23T06:45:12Z");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cron_next(&berlin, us), us_of("2026-11-23T23:00:00Z"));
        assert_int_equal(cron_next(&utc, us), us_of("2026-11-24T00:00:00Z"));
        assert_int_equal(cron_latest(&apia, us), us_of("2026-11-22T11:00:00Z"));
    }
}

static void test_never(void **state)
{
    (void)state;
    static const char *const schedules[] = {"30 2 31 2 *", "0 0 30 feb ?", ", * * * *"};
    for (size_t i = 0; i < COUNT(schedules); i++) {
        struct cron cron = parse(schedules[i]);
        assert_true(cron_next(&cron, us_of("2026-11-23T00:00:00Z")) == CRON_NEVER);
        assert_true(cron_latest(&cron, us_of("2026-11-23T00:00:00Z")) == CRON_NEVER);
    }
}

static void test_latest(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *at, *latest;
    } cases[] = {
        {"@hourly", "2026-11-23T06:45:12.5Z", "2026-11-23T06:00:00Z"},
        {"@hourly", "2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z"},
        {"@hourly", "2026-11-23T06:59:59.999999Z", "2026-11-23T06:00:00Z"},
        {"* * * * *", "2026-11-23T06:45:12Z", "2026-11-23T06:45:00Z"},
        {"@yearly", "2026-11-23T06:45:12Z", "2026-01-01T00:00:00Z"},
        {"0 0 29 2 *", "2026-11-23T06:45:12Z", "2024-02-29T00:00:00Z"},
        {"TZ=Europe/Berlin @daily", "2026-11-23T06:45:12Z", "2026-11-22T23:00:00Z"},
        {"@every 1h", "2026-11-23T06:45:12Z", "2026-11-23T06:00:00Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron cron = parse(cases[i].schedule);
        char text[TIMESTAMP_TEXT_SIZE];
        (void)timestamp_format(cron_latest(&cron, us_of(cases[i].at)), text);
        if (strcmp(text, cases[i].latest) != 0)
            fail_msg("%s at %s: %s", cases[i].schedule, cases[i].at, text);
    }
}

/* Replicas that began at different times count @every from there, and yet do one run each time. */
static void test_replicas_share_the_ticks_of_every(void **state)
{
    (void)state;
    struct cron cron = parse("@every 1h");
    int64_t a = us_of("2026-11-23T06:10:00Z"), b = us_of("2026-11-23T06:50:30.7Z");
    for (int run = 0; run < 10; run++) {
        a = cron_next(&cron, a);
        b = cron_next(&cron, b);
        assert_int_equal(cron_tick(&cron, a), cron_tick(&cron, b));
        assert_int_equal(cron_tick(&cron, a), us_of("2026-11-23T07:00:00Z") + run * HOUR_US);
    }
    cron = parse("@hourly");
    assert_int_equal(cron_tick(&cron, a), a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers_as_robfig),
        cmocka_unit_test(test_daylight_saving),
        cmocka_unit_test(test_a_zone_each),
        cmocka_unit_test(test_a_day_that_does_not_exist_is_passed),
        cmocka_unit_test(test_refusals_say_where_and_not_what),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_latest),
        cmocka_unit_test(test_replicas_share_the_ticks_of_every),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
