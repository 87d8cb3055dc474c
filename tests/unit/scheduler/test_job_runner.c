/* The runner against a real PostgreSQL, with a kind of the test's own: it counts up to 10, and its
 * checkpoint is how far it has come. */
#include "services/base/memory.h"
#include "services/clients/postgres/jobs.h"
#include "services/scheduler/job_runner.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/stalling_proxy.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST 10

/* What the kind does, and what became of it. */
struct counting {
    int64_t pause_at; /* steps do nothing from this count on; 0: they go on */
    int64_t fail_at;
    unsigned begun, ended, canceled;
    const char *left; /* when it is canceled */
    int64_t begun_at;
    bool stopped;
};

struct work {
    struct counting *counting;
    struct job_run *run;
    int64_t count;
};

static void *begin(void *arg, struct job_run *run)
{
    struct counting *counting = arg;
    struct work *work = memory_new(sizeof *work);
    const char *checkpoint = run->job->checkpoint;
    *work = (struct work){counting, run, checkpoint != NULL ? strtoll(checkpoint, NULL, 10) : 0};
    counting->begun++;
    counting->begun_at = work->count;
    return work;
}

static void on_counted(void *arg, const struct database_answer *answer)
{
    struct work *work = arg;
    if (job_run_answered(work->run, answer, true))
        work->count++;
}

static void step(void *arg)
{
    struct work *work = arg;
    char checkpoint[24];
    assert_false(work->run->busy);
    if (work->run->canceled && work->counting->pause_at == 0) {
        job_run_canceled(work->run, work->counting->left);
        return;
    }
    if (work->count == LAST) {
        job_run_done(work->run);
        return;
    }
    if (work->counting->fail_at > 0 && work->count == work->counting->fail_at) {
        job_run_fail(work->run, "it is bad luck to count on");
        return;
    }
    if (work->counting->pause_at > 0 && work->count >= work->counting->pause_at) {
        job_run_step_in(work->run, 10);
        return;
    }
    snprintf(checkpoint, sizeof checkpoint, "%" PRId64, work->count + 1);
    job_run_sent(work->run, long_jobs_progress(work->run->database, work->run->job,
                                               &(struct long_job_progress){work->count + 1, LAST,
                                                                           checkpoint, NULL},
                                               on_counted, work));
}

static void cancel(void *arg)
{
    struct work *work = arg;
    work->counting->canceled++;
}

static void end(void *arg)
{
    struct work *work = arg;
    work->counting->ended++;
    free(work);
}

static void on_state(void *arg, bool up, const char *reason)
{
    (void)arg, (void)up, (void)reason;
}

static void on_stopped(void *arg)
{
    struct counting *counting = arg;
    assert_false(counting->stopped);
    counting->stopped = true;
}

struct running {
    struct fixture *fixture;
    struct counting counting;
    struct job_kind kinds[3];
    struct job_runner *runner;
};

static void start(struct running *running, struct fixture *fixture, const char *dsn)
{
    running->fixture = fixture;
    struct job_kind *kinds = running->kinds;
    kinds[0] = (struct job_kind){"other", &running->counting, begin, step, NULL, end};
    kinds[1] = (struct job_kind){"count", &running->counting, begin, step, NULL, end};
    kinds[2] = (struct job_kind){"reindex", &running->counting, begin, step, cancel, end};
    running->runner = job_runner_new(fixture->loop, &(struct job_runner_options){
                                                        .dsn = dsn,
                                                        .name = "runner under test",
                                                        .kinds = running->kinds,
                                                        .kind_count = 3,
                                                        .on_state = on_state,
                                                        .on_stopped = on_stopped,
                                                        .arg = &running->counting,
                                                    });
    run_until_query(fixture, "SELECT to_regclass('job_items') IS NOT NULL", "t");
}

/* The lease is long: no beat renews it here. */
static void run_until_running(struct fixture *fixture)
{
    run_until_query(fixture, "SELECT state FROM jobs", "running");
    execute(fixture, "UPDATE jobs SET lease = now() + interval '1 h'");
}

#define OUTCOME "SELECT concat_ws(' ', state, done, total, checkpoint, error) FROM jobs"

static void test_one_after_the_other(void **state)
{
    struct running running = {.runner = NULL};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count'), ('strange'), ('other')");
    run_until_query(*state, "SELECT count(*) FROM jobs WHERE state = 'done'", "2");
    assert_string_equal(query(*state, "SELECT string_agg(concat_ws(' ', kind, state, done), ', '"
                                      " ORDER BY id) FROM jobs"),
                        "count done 10, strange waiting 0, other done 10");
    assert_string_equal(query(*state, "SELECT a.finished <= b.started FROM jobs AS a, jobs AS b"
                                      " WHERE a.id = 1 AND b.id = 3"),
                        "t");
    wait_until(running.counting.ended == 2, run_for(*state, 20));
    assert_int_equal(running.counting.begun, 2);
    job_runner_stop(running.runner);
    wait_until(running.counting.stopped, run_for(*state, 20));
    job_runner_free(running.runner);
}

static void test_failure(void **state)
{
    struct running running = {.counting = {.fail_at = 7}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count')");
    run_until_query(*state, OUTCOME, "failed 7 10 7 it is bad luck to count on");
    job_runner_free(running.runner);
    assert_int_equal(running.counting.ended, 1);
}

/* PostgreSQL refuses a statement for a reason that does not pass: the job says it. */
static void test_refusal(void **state)
{
    struct running running = {.counting = {.pause_at = 3}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "ALTER TABLE jobs ADD CHECK (done <= 5)");
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count')");
    run_until_running(*state);
    running.counting.pause_at = 0;
    run_until_query(*state, "SELECT state || ' ' || done FROM jobs", "failed 5");
    assert_non_null(strstr(query(*state, "SELECT error FROM jobs"), "check constraint"));
    job_runner_free(running.runner);
}

static void test_cancel(void **state)
{
    struct running running = {.counting = {.pause_at = 4}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count');"
                    "INSERT INTO job_items (job, item) VALUES (1, 1), (1, 2)");
    run_until_running(*state);
    run_until_query(*state, OUTCOME, "running 4 10 4");
    execute(*state, "UPDATE jobs SET cancel = true");
    run_until_query(*state, OUTCOME, "canceled 4 10 4");
    run_until_query(*state, "SELECT count(*) FROM job_items", "0");
    wait_until(running.counting.ended == 1, run_for(*state, 20));

    /* One that was canceled while no scheduler was there ends, too, and nothing of it is done. */
    running.counting.pause_at = 0;
    execute(*state, "UPDATE jobs SET state = 'running', finished = NULL, token = 5,"
                    " lease = now() - interval '1 s'");
    run_until_query(*state, OUTCOME, "canceled 4 10 4");
    job_runner_free(running.runner);
}

/* The kind undoes what it has begun, and only then the job ends. */
static void test_undoing(void **state)
{
    struct running running = {.counting = {.pause_at = 4, .left = "a rusty nail"}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('reindex')");
    run_until_running(*state);
    run_until_query(*state, OUTCOME, "running 4 10 4");
    execute(*state, "UPDATE jobs SET cancel = true");
    wait_until(running.counting.canceled == 1, run_for(*state, 20));
    run_for(*state, 500); /* time for turns: it is told once */
    assert_string_equal(query(*state, OUTCOME), "running 4 10 4");
    assert_int_equal(running.counting.canceled, 1);

    /* The scheduler stops meanwhile. */
    job_runner_stop(running.runner);
    wait_until(running.counting.stopped, run_for(*state, 20));
    assert_string_equal(query(*state, OUTCOME), "waiting 4 10 4");
    job_runner_free(running.runner);
    running.counting = (struct counting){.left = "a rusty nail"};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    run_until_query(*state, OUTCOME, "canceled 4 10 4 a rusty nail");
    wait_until(running.counting.ended == 1, run_for(*state, 20));
    assert_int_equal(running.counting.canceled, 1);
    job_runner_free(running.runner);
}

/* Of the jobs about the index one runs at a time: here another scheduler's. */
static void test_one_index_job(void **state)
{
    struct running running = {.counting = {.begun = 0}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind, automatic, state, started, token, lease) VALUES"
                    " ('verify', true, 'running', now(), 5, now() + interval '1 h')");
    execute(*state, "INSERT INTO jobs (kind) VALUES ('reindex'), ('count')");
    run_until_query(*state, "SELECT state FROM jobs WHERE kind = 'count'", "done");
    run_for(*state, 500); /* time for turns */
    assert_string_equal(query(*state, "SELECT state FROM jobs WHERE kind = 'reindex'"), "waiting");
    execute(*state, "UPDATE jobs SET state = 'done', finished = now() WHERE kind = 'verify'");
    run_until_query(*state, "SELECT state FROM jobs WHERE kind = 'reindex'", "done");
    job_runner_free(running.runner);
}

/* The job is another scheduler's by now: this one stops, and writes nothing more. When that one is
 * gone too, it goes on from its checkpoint. */
static void test_lost(void **state)
{
    struct running running = {.counting = {.pause_at = 4}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count')");
    run_until_running(*state);
    run_until_query(*state, OUTCOME, "running 4 10 4");
    int64_t token = job_runner_token(running.runner);
    execute(*state, "UPDATE jobs SET token = 5, checkpoint = '6', done = 6");
    running.counting.pause_at = 0;
    wait_until(running.counting.ended == 1, run_for(*state, 20));
    assert_true(job_runner_token(running.runner) != token);
    run_for(*state, 300); /* time for a turn */
    assert_string_equal(query(*state, OUTCOME), "running 6 10 6");
    assert_int_equal(running.counting.begun, 1);
    execute(*state, "UPDATE jobs SET lease = now() - interval '1 ms'");
    run_until_query(*state, OUTCOME, "done 10 10 10");
    assert_int_equal(running.counting.begun_at, 6);
    job_runner_free(running.runner);
}

/* The connection is cut while a statement is under way, of which nobody knows whether it happened:
 * the runner does not go on from what it remembers, and not under its token. */
static void test_an_answer_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct stalling_proxy *proxy = stalling_proxy_new(postgres_server_port());
    char dsn[120];
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%u user=postgres dbname=%s",
             (unsigned)stalling_proxy_port(proxy), query(fixture, "SELECT current_database()"));
    struct running running = {.counting = {.pause_at = 4}};
    start(&running, fixture, dsn);
    execute(fixture, "INSERT INTO jobs (kind) VALUES ('count')");
    run_until_running(fixture);
    run_until_query(fixture, OUTCOME, "running 4 10 4");
    int64_t token = job_runner_token(running.runner);
    stalling_proxy_set(proxy, PROXY_HOLDS_REPLIES);
    run_for(fixture, 100); /* the proxy's thread has seen it */
    running.counting.pause_at = 0;
    run_until_query(fixture, OUTCOME, "running 5 10 5");
    stalling_proxy_cut(proxy);
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    wait_until(running.counting.ended == 1, run_for(fixture, 20));
    assert_true(job_runner_token(running.runner) != token);
    execute(fixture, "UPDATE jobs SET lease = now() - interval '1 ms'");
    run_until_query(fixture, OUTCOME, "done 10 10 10");
    assert_int_equal(running.counting.begun_at, 5);
    job_runner_free(running.runner);
    stalling_proxy_free(proxy);
}

/* At a stop the job is given back: another scheduler need not wait for the lease's end. */
static void test_stop(void **state)
{
    struct running running = {.counting = {.pause_at = 4}}, other = {.counting = {.pause_at = 0}};
    start(&running, *state, ((struct fixture *)*state)->dsn);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('count')");
    run_until_running(*state);
    run_until_query(*state, OUTCOME, "running 4 10 4");
    job_runner_stop(running.runner);
    wait_until(running.counting.stopped, run_for(*state, 20));
    assert_string_equal(query(*state, OUTCOME), "waiting 4 10 4");
    run_for(*state, 300); /* time for a turn: it claims nothing */
    assert_string_equal(query(*state, OUTCOME), "waiting 4 10 4");
    start(&other, *state, ((struct fixture *)*state)->dsn);
    run_until_query(*state, OUTCOME, "done 10 10 10");
    assert_int_equal(other.counting.begun_at, 4);
    job_runner_free(running.runner);
    job_runner_free(other.runner);
}

int main(void)
{
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_one_after_the_other),
        DATABASE_TEST(test_failure),
        DATABASE_TEST(test_refusal),
        DATABASE_TEST(test_cancel),
        DATABASE_TEST(test_undoing),
        DATABASE_TEST(test_one_index_job),
        DATABASE_TEST(test_lost),
        DATABASE_TEST(test_an_answer_is_lost),
        DATABASE_TEST(test_stop),
    };
    int failures = cmocka_run_group_tests_name("job runner", tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
