/* How fast a mass replay goes, and when it stops: the plan, on the test's own clock. */
#include "services/scheduler/replay_plan.h"
#include "tests/unit/support/cmocka_headers.h"

#define SECOND_US 1000000

/* Letters are spread over a second, also behind a pause. */
static void test_rate(void **state)
{
    (void)state;
    static const struct {
        int64_t per_second, expected_ms;
    } cases[] = {{1, 1000}, {3, 334}, {50, 20}, {1000, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct replay_plan plan;
        replay_plan_init(&plan, cases[i].per_second, 0);
        int64_t now_us = 5 * SECOND_US;
        assert_int_equal(replay_plan_wait_ms(&plan, now_us), 0);
        replay_plan_replayed(&plan, now_us);
        assert_int_equal(replay_plan_wait_ms(&plan, now_us), cases[i].expected_ms);
        now_us += 60 * SECOND_US;
        assert_int_equal(replay_plan_wait_ms(&plan, now_us), 0);
        replay_plan_replayed(&plan, now_us);
        assert_int_equal(replay_plan_wait_ms(&plan, now_us), cases[i].expected_ms);
    }

    struct replay_plan plan;
    unsigned replayed = 0;
    replay_plan_init(&plan, 50, 0);
    for (int64_t now_us = 0; now_us < SECOND_US; now_us += 1000)
        if (replay_plan_wait_ms(&plan, now_us) == 0) {
            replay_plan_replayed(&plan, now_us);
            replay_plan_searchable(&plan);
            replayed++;
        }
    assert_int_equal(replayed, 50);
}

/* Those that a scheduler before this one replayed count, too. */
static void test_unknown_fates(void **state)
{
    (void)state;
    struct replay_plan plan;
    replay_plan_init(&plan, 1000, 0);
    for (int i = 0; i < 4; i++)
        replay_plan_found(&plan);
    int64_t now_us = 0;
    for (int i = 0; i < 6; i++, now_us += SECOND_US) {
        assert_int_equal(replay_plan_wait_ms(&plan, now_us), 0);
        replay_plan_replayed(&plan, now_us);
    }
    now_us += 3600 * (int64_t)SECOND_US;
    assert_int_equal(replay_plan_wait_ms(&plan, now_us), -1);
    replay_plan_died_again(&plan);
    assert_int_equal(replay_plan_wait_ms(&plan, now_us), 0);
    replay_plan_replayed(&plan, now_us);
    assert_int_equal(replay_plan_wait_ms(&plan, now_us), -1);
}

/* `fates`: 's' searchable, 'd' died again. `before`: in a row, when a scheduler goes on. */
static bool breaks(const char *fates, unsigned before)
{
    struct replay_plan plan;
    replay_plan_init(&plan, 1000, before);
    for (const char *fate = fates; *fate != '\0'; fate++)
        replay_plan_found(&plan);
    for (const char *fate = fates; *fate != '\0'; fate++)
        if (*fate == 's')
            replay_plan_searchable(&plan);
        else
            replay_plan_died_again(&plan);
    assert_int_equal(replay_plan_wait_ms(&plan, 0), replay_plan_broken(&plan) ? -1 : 0);
    return replay_plan_broken(&plan);
}

static void test_deaths_in_a_row(void **state)
{
    (void)state;
    assert_false(breaks("dddd", 0));
    assert_true(breaks("ddddd", 0));
    assert_false(breaks("ddddsdddd", 0));
    assert_false(breaks("dddd", 0));
    assert_true(breaks("d", 4));
    assert_false(breaks("sdddd", 4));
    assert_true(breaks("ddddds", 0)); /* for good */
    assert_true(breaks("", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_unknown_fates),
        cmocka_unit_test(test_deaths_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
