/* A kind that is canceled and does not come to an end: the runner ends its job after 60 s, by the
 * test's own clock. */
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <string.h>

struct endless {
    unsigned canceled, ended;
};

static void *begin(void *arg, struct job_run *run)
{
    (void)run;
    return arg;
}

static void step(void *work)
{
    (void)work; /* and nothing calls for another one */
}

static void cancel(void *work)
{
    struct endless *endless = work;
    endless->canceled++;
}

static void end(void *work)
{
    struct endless *endless = work;
    endless->ended++;
}

/* A turn of the runner. */
static void pass(struct fixture *fixture)
{
    test_clock_turn(run_for(fixture, 20));
}

static void test_the_limit(void **state)
{
    struct fixture *fixture = *state;
    struct endless endless = {.ended = 0};
    const struct job_kind kind = {"reindex", &endless, begin, step, cancel, end};
    struct job_runner *runner = test_runner_new(fixture, &kind, 1, NULL);
    wait_until(job_runner_up(runner), pass(fixture));
    test_runner_lengthen_leases(fixture);
    execute(fixture, "INSERT INTO jobs (kind) VALUES ('reindex')");
    wait_until(strcmp(query(fixture, "SELECT state FROM jobs"), "running") == 0, pass(fixture));
    execute(fixture, "UPDATE jobs SET cancel = true");
    wait_until(endless.canceled == 1, pass(fixture));
    test_clock_advance(JOB_CANCEL_MS - 5000);
    for (int i = 0; i < 10; i++)
        pass(fixture);
    assert_int_equal(endless.ended, 0);
    test_clock_advance(5000);
    wait_until(endless.ended == 1, pass(fixture));
    assert_int_equal(endless.canceled, 1);
    assert_string_equal(query(fixture, "SELECT state || ': ' || error FROM jobs"),
                        "canceled: it could not undo within 60 s what it had begun");
    job_runner_free(runner);
}

int main(void)
{
    postgres_server_start();
    const struct CMUnitTest tests[] = {DATABASE_TEST(test_the_limit)};
    int failures = cmocka_run_group_tests_name("canceling", tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
