#include "services/bridge/retry_policy.h"
#include "tests/unit/support/cmocka_headers.h"

#define LOWEST 0
#define HIGHEST UINT32_MAX

static void test_delay_grows_to_a_cap_with_jitter(void **state)
{
    (void)state;
    static const struct {
        unsigned attempt;
        int64_t lowest_ms, highest_ms;
    } cases[] = {
        {0, 50, 100},  {1, 50, 100},   {2, 50, 200},     {3, 50, 400},
        {7, 50, 6400}, {8, 50, 10000}, {100, 50, 10000}, {UINT32_MAX, 50, 10000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(retry_delay_ms(cases[i].attempt, LOWEST), cases[i].lowest_ms);
        assert_int_equal(retry_delay_ms(cases[i].attempt, HIGHEST), cases[i].highest_ms);
    }
}

static void test_down_after_a_second_of_failures(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    assert_int_equal(stage_health_allowance(&health, 0, 50), 50);
    stage_health_retry(&health, 5000, HIGHEST);
    stage_health_retry(&health, 5999, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
    stage_health_retry(&health, 6000, HIGHEST);
    assert_int_equal(health.state, STAGE_DOWN);
}

static void test_one_success_among_failures_keeps_it_up(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    stage_health_retry(&health, 0, HIGHEST);
    stage_health_done(&health);
    stage_health_retry(&health, 1500, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
    stage_health_retry(&health, 2500, HIGHEST);
    assert_int_equal(health.state, STAGE_DOWN);
}

static void test_a_judgement_ends_a_row_of_failures(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    stage_health_retry(&health, 0, HIGHEST);
    assert_true(stage_health_reject(&health, 900, HIGHEST));
    stage_health_retry(&health, 1000, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
    stage_health_retry(&health, 2000, HIGHEST);
    assert_int_equal(health.state, STAGE_DOWN);
    assert_true(stage_health_reject(&health, 2100, HIGHEST));
    assert_int_equal(health.state, STAGE_UP);
    stage_health_retry(&health, 3000, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
    stage_health_judged(&health);
    stage_health_retry(&health, 4500, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
}

static void test_nothing_is_left_to_try_it_with(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    stage_health_retry(&health, 0, HIGHEST);
    stage_health_retry(&health, 1000, HIGHEST);
    stage_health_forget(&health);
    assert_int_equal(health.state, STAGE_UP);
    stage_health_retry(&health, 9000, HIGHEST);
    assert_int_equal(health.state, STAGE_UP);
    assert_true(stage_health_reject(&health, 9000, HIGHEST)); /* it was not systemic */

    stage_health_init(&health);
    for (int i = 0; i < STAGE_SYSTEMIC_REJECTS; i++)
        (void)stage_health_reject(&health, 0, HIGHEST);
    stage_health_forget(&health);
    assert_int_equal(health.state, STAGE_UP);
    assert_false(stage_health_reject(&health, 0, HIGHEST));
    assert_int_equal(health.state, STAGE_SYSTEMIC);
}

static void test_probes_come_with_backoff_until_done(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    stage_health_retry(&health, 0, HIGHEST);
    stage_health_retry(&health, 1000, HIGHEST);
    int64_t now_ms = 1000;
    static const int64_t steps_ms[] = {200, 400, 800, 1600, 2000, 2000};
    for (size_t i = 0; i < COUNT(steps_ms); i++) {
        assert_int_equal(stage_health_allowance(&health, now_ms + steps_ms[i] - 1, 50), 0);
        now_ms += steps_ms[i];
        assert_int_equal(stage_health_allowance(&health, now_ms, 50), STAGE_PROBE_ORDERS);
        assert_int_equal(stage_health_allowance(&health, now_ms, 3), 3);
        stage_health_probed(&health, now_ms, HIGHEST);
    }
    stage_health_done(&health);
    assert_int_equal(health.state, STAGE_UP);
    assert_int_equal(stage_health_allowance(&health, now_ms, 50), 50);
}

static void test_systemic_after_many_rejects_in_a_row(void **state)
{
    (void)state;
    struct stage_health health;
    stage_health_init(&health);
    for (int i = 1; i < STAGE_SYSTEMIC_REJECTS; i++)
        assert_true(stage_health_reject(&health, 0, HIGHEST));
    stage_health_done(&health);
    for (int i = 1; i < STAGE_SYSTEMIC_REJECTS; i++)
        assert_true(stage_health_reject(&health, 0, HIGHEST));
    assert_int_equal(health.state, STAGE_UP);
    assert_false(stage_health_reject(&health, 0, HIGHEST));
    assert_int_equal(health.state, STAGE_SYSTEMIC);
    stage_health_retry(&health, 0, HIGHEST);
    stage_health_retry(&health, 5000, HIGHEST);
    assert_int_equal(health.state, STAGE_SYSTEMIC);
    assert_false(stage_health_reject(&health, 6000, HIGHEST));
    stage_health_done(&health);
    assert_int_equal(health.state, STAGE_UP);
    assert_true(stage_health_reject(&health, 6000, HIGHEST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_grows_to_a_cap_with_jitter),
        cmocka_unit_test(test_down_after_a_second_of_failures),
        cmocka_unit_test(test_one_success_among_failures_keeps_it_up),
        cmocka_unit_test(test_a_judgement_ends_a_row_of_failures),
        cmocka_unit_test(test_nothing_is_left_to_try_it_with),
        cmocka_unit_test(test_probes_come_with_backoff_until_done),
        cmocka_unit_test(test_systemic_after_many_rejects_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
