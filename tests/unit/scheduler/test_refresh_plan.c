#include "proto/timestamp.h"
#include "services/scheduler/refresh_plan.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define RANDOM 0x80000000u

static int64_t us_of(const char *text)
{
    int64_t us = 0;
    assert_int_equal(timestamp_parse(text, strlen(text), &us), 0);
    return us;
}

static struct refresh_plan plan_at(const char *schedule, const char *now)
{
    struct refresh_plan plan;
    struct cron cron;
    struct error err;
    assert_int_equal(cron_parse(schedule, &cron, &err), 0);
    refresh_plan_init(&plan, &cron, us_of(now));
    return plan;
}

/* Do what is due and expect it to be `tick`. */
static void expect_run(struct refresh_plan *plan, const char *tick, int64_t now_ms)
{
    int64_t tick_us = -1;
    assert_true(refresh_plan_begin(plan, false, now_ms, &tick_us));
    assert_int_equal(tick_us, us_of(tick));
    refresh_plan_end(plan, REFRESH_DONE, now_ms, RANDOM);
}

static void expect_idle(struct refresh_plan *plan, int64_t now_ms)
{
    int64_t tick_us;
    assert_false(refresh_plan_begin(plan, false, now_ms, &tick_us));
}

static void test_a_tick_runs_once(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    expect_run(&plan, "2026-11-23T06:00:00Z", 0); /* the latest, in case nothing ran then */
    expect_idle(&plan, 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T06:59:59.999999Z"));
    expect_idle(&plan, 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    expect_run(&plan, "2026-11-23T07:00:00Z", 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:02Z"));
    expect_idle(&plan, 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T08:00:01Z"));
    expect_run(&plan, "2026-11-23T08:00:00Z", 0);
    expect_idle(&plan, 0);
}

static void test_of_missed_ticks_the_latest_runs(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    expect_run(&plan, "2026-11-23T06:00:00Z", 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T09:30:00Z")); /* put forward, or suspended */
    expect_run(&plan, "2026-11-23T09:00:00Z", 0);
    expect_idle(&plan, 0);
    assert_int_equal(plan.next_us, us_of("2026-11-23T10:00:00Z"));
}

static void test_the_schedule_follows_a_clock_put_back(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    expect_run(&plan, "2026-11-23T06:00:00Z", 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    expect_run(&plan, "2026-11-23T07:00:00Z", 0);
    assert_true(refresh_plan_see_clock(&plan, us_of("2026-11-23T06:00:02Z")));
    expect_idle(&plan, 0);

    /* The same tick again, by the same name: the history makes it ALREADY_DONE. */
    int64_t tick_us;
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    assert_true(refresh_plan_begin(&plan, false, 0, &tick_us));
    assert_int_equal(tick_us, us_of("2026-11-23T07:00:00Z"));
    refresh_plan_end(&plan, REFRESH_ALREADY_DONE, 0, RANDOM);
    expect_idle(&plan, 0);

    /* Started in a wrong year: not stuck until it comes. */
    plan = plan_at("@hourly", "2046-01-01T00:30:00Z");
    assert_true(refresh_plan_see_clock(&plan, us_of("2026-11-23T06:30:00Z")));
    assert_int_equal(plan.next_us, us_of("2026-11-23T07:00:00Z"));

    /* A clock being slewed moves nothing. */
    refresh_plan_see_clock(&plan, us_of("2026-11-23T06:30:10Z"));
    assert_false(refresh_plan_see_clock(&plan, us_of("2026-11-23T06:30:09.5Z")));
    assert_int_equal(plan.next_us, us_of("2026-11-23T07:00:00Z"));
}

static void test_a_failed_tick_is_tried_again_with_backoff(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    int64_t now_ms = 0, tick_us, longest_ms = 0;
    for (int attempt = 0; attempt < 20; attempt++) {
        assert_true(refresh_plan_begin(&plan, false, now_ms, &tick_us));
        assert_int_equal(tick_us, us_of("2026-11-23T06:00:00Z"));
        refresh_plan_end(&plan, REFRESH_FAILED, now_ms, UINT32_MAX);
        int64_t wait_ms = plan.retry_tick_at_ms - now_ms;
        assert_true(wait_ms >= 1000 / 2 && wait_ms >= longest_ms && wait_ms <= 60000);
        longest_ms = wait_ms;
        expect_idle(&plan, now_ms + wait_ms - 1);
        assert_true(refresh_plan_wait_ms(&plan, false, now_ms) <= REFRESH_PLAN_CLOCK_POLL_MS);
        now_ms += wait_ms;
        assert_int_equal(refresh_plan_wait_ms(&plan, false, now_ms), 0);
    }
    assert_int_equal(longest_ms, 60000);

    /* The next tick takes its place, without its wait. */
    assert_true(refresh_plan_begin(&plan, false, now_ms, &tick_us));
    refresh_plan_end(&plan, REFRESH_FAILED, now_ms, UINT32_MAX);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    expect_run(&plan, "2026-11-23T07:00:00Z", now_ms);
    expect_idle(&plan, now_ms + 3600000);
}

static void test_a_reconnected_database_ends_the_wait(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    int64_t tick_us;
    assert_true(refresh_plan_begin(&plan, false, 0, &tick_us));
    refresh_plan_end(&plan, REFRESH_FAILED, 0, RANDOM);
    expect_idle(&plan, 0);
    refresh_plan_retry_now(&plan);
    expect_run(&plan, "2026-11-23T06:00:00Z", 0);
}

static void test_a_tick_that_comes_due_during_a_run_is_kept(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    int64_t tick_us;
    assert_true(refresh_plan_begin(&plan, false, 0, &tick_us));
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    expect_idle(&plan, 0);
    refresh_plan_end(&plan, REFRESH_DONE, 0, RANDOM); /* of 06:00 */
    expect_run(&plan, "2026-11-23T07:00:00Z", 0);
}

static void test_requests_during_a_run_wait_for_the_next(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("30 2 31 2 *", "2026-11-23T06:30:00Z");
    int64_t tick_us;
    expect_idle(&plan, 0);
    assert_true(refresh_plan_begin(&plan, true, 0, &tick_us));
    assert_int_equal(tick_us, 0);
    assert_false(refresh_plan_begin(&plan, true, 0, &tick_us)); /* one at a time */
    refresh_plan_end(&plan, REFRESH_DONE, 10, RANDOM);
    assert_int_equal(refresh_plan_wait_ms(&plan, true, 10), 0);
    assert_true(refresh_plan_begin(&plan, true, 10, &tick_us));
    refresh_plan_end(&plan, REFRESH_FAILED, 60000, RANDOM);
    assert_int_equal(refresh_plan_wait_ms(&plan, true, 60000), 0);
    assert_true(refresh_plan_begin(&plan, true, 60000, &tick_us));
}

static void test_a_tick_and_a_request_share_an_attempt(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:59:59Z");
    expect_run(&plan, "2026-11-23T06:00:00Z", 0);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    int64_t tick_us;
    assert_true(refresh_plan_begin(&plan, true, 1, &tick_us));
    assert_int_equal(tick_us, us_of("2026-11-23T07:00:00Z"));
}

static void test_a_locked_attempt_is_repeated(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("30 2 31 2 *", "2026-11-23T06:30:00Z");
    int64_t tick_us, now_ms = 5000;
    for (int i = 0; i < 3; i++) {
        assert_true(refresh_plan_begin(&plan, true, now_ms, &tick_us));
        refresh_plan_end(&plan, REFRESH_LOCKED, now_ms, RANDOM);
        assert_false(refresh_plan_begin(&plan, true, now_ms, &tick_us));
        assert_int_equal(refresh_plan_wait_ms(&plan, true, now_ms), REFRESH_PLAN_LOCK_POLL_MS);
        now_ms += REFRESH_PLAN_LOCK_POLL_MS;
    }
    assert_true(refresh_plan_begin(&plan, true, now_ms, &tick_us));
}

static void test_a_request_does_not_wait_for_the_backoff_of_a_tick(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    int64_t tick_us;
    assert_true(refresh_plan_begin(&plan, false, 0, &tick_us));
    refresh_plan_end(&plan, REFRESH_FAILED, 0, RANDOM);
    plan.retry_tick_at_ms = 60000;
    expect_idle(&plan, 1000);
    assert_int_equal(refresh_plan_wait_ms(&plan, true, 1000), 0);
    assert_true(refresh_plan_begin(&plan, true, 1000, &tick_us));
    assert_int_equal(tick_us, us_of("2026-11-23T06:00:00Z")); /* it serves the tick, too */
}

static void test_a_tick_done_elsewhere_leaves_the_requests_to_the_next_attempt(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:30:00Z");
    int64_t tick_us;
    assert_true(refresh_plan_begin(&plan, true, 0, &tick_us));
    assert_int_not_equal(tick_us, 0);
    refresh_plan_end(&plan, REFRESH_ALREADY_DONE, 0, RANDOM);
    assert_int_equal(refresh_plan_wait_ms(&plan, true, 0), 0);
    assert_true(refresh_plan_begin(&plan, true, 0, &tick_us));
    assert_int_equal(tick_us, 0);
}

static void test_waits(void **state)
{
    (void)state;
    struct refresh_plan plan = plan_at("@hourly", "2026-11-23T06:59:59.5Z");
    assert_int_equal(refresh_plan_wait_ms(&plan, false, 0), 0);
    expect_run(&plan, "2026-11-23T06:00:00Z", 0);
    assert_in_range(refresh_plan_wait_ms(&plan, false, 0), 500, 502);
    refresh_plan_see_clock(&plan, us_of("2026-11-23T07:00:00Z"));
    expect_run(&plan, "2026-11-23T07:00:00Z", 0);
    assert_int_equal(refresh_plan_wait_ms(&plan, false, 0), REFRESH_PLAN_CLOCK_POLL_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tick_runs_once),
        cmocka_unit_test(test_of_missed_ticks_the_latest_runs),
        cmocka_unit_test(test_the_schedule_follows_a_clock_put_back),
        cmocka_unit_test(test_a_failed_tick_is_tried_again_with_backoff),
        cmocka_unit_test(test_a_reconnected_database_ends_the_wait),
        cmocka_unit_test(test_a_tick_that_comes_due_during_a_run_is_kept),
        cmocka_unit_test(test_requests_during_a_run_wait_for_the_next),
        cmocka_unit_test(test_a_tick_and_a_request_share_an_attempt),
        cmocka_unit_test(test_a_locked_attempt_is_repeated),
        cmocka_unit_test(test_a_request_does_not_wait_for_the_backoff_of_a_tick),
        cmocka_unit_test(test_a_tick_done_elsewhere_leaves_the_requests_to_the_next_attempt),
        cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
