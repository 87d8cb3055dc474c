/* Jobs from gateways to schedulers: the statements of both sides, each with the other. */
#include "services/clients/postgres/jobs.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <string.h>

#define KIND "refresh"

enum { FIRST_TOKEN = 11, SECOND_TOKEN = -22 };

/* An answer with a number. */
struct told {
    bool done;
    enum database_status status;
    int64_t number;
};

static void on_told(void *arg, const struct database_answer *answer)
{
    *(struct told *)arg = (struct told){true, answer->status, database_number(answer)};
}

static int64_t wait_for(struct connection *connection, int sent, const struct told *told)
{
    assert_int_equal(sent, 0);
    run_until(connection->fixture, &told->done);
    assert_int_equal(told->status, DATABASE_OK);
    return told->number;
}

static int64_t request(struct connection *connection)
{
    struct told told = {.done = false};
    return wait_for(connection, jobs_request(connection->database, KIND, on_told, &told), &told);
}

static int64_t claimable(struct connection *connection)
{
    struct told told = {.done = false};
    return wait_for(connection, jobs_claimable(connection->database, KIND, on_told, &told), &told);
}

static int64_t claim(struct connection *connection, int64_t token)
{
    struct told told = {.done = false};
    return wait_for(connection, jobs_claim(connection->database, KIND, token, on_told, &told),
                    &told);
}

static void finish(struct connection *connection, int64_t token, const char *error)
{
    struct told told = {.done = false};
    (void)wait_for(connection,
                   jobs_finish(connection->database, KIND, token, error, on_told, &told), &told);
}

static void beat(struct connection *connection, int64_t token)
{
    struct told told = {.done = false};
    (void)wait_for(connection, jobs_beat(connection->database, &token, 1, on_told, &told), &told);
}

struct look {
    bool done, seen;
    int64_t id;
    enum job_state state; /* of `id` */
};

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct look *look = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    look->seen = jobs_scheduler_seen(answer);
    look->state = jobs_state(answer, look->id);
    look->done = true;
}

static struct look look_at(struct connection *connection, int64_t first_id, int64_t id)
{
    struct look look = {.id = id};
    assert_int_equal(jobs_look(connection->database, KIND, first_id, on_looked, &look), 0);
    run_until(connection->fixture, &look.done);
    return look;
}

/* As if the last job had been begun a second ago. */
static void let_a_second_pass(struct fixture *fixture)
{
    execute(fixture, "UPDATE jobs SET started = started - interval '1 s'");
}

static void test_without_a_scheduler(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_int_equal(request(&connection), 0);
    assert_false(look_at(&connection, INT64_MAX, 1).seen);
    beat(&connection, FIRST_TOKEN);
    assert_true(look_at(&connection, INT64_MAX, 1).seen);
    execute(*state, "UPDATE scheduler_seen SET at = at - interval '4 s'");
    assert_true(look_at(&connection, INT64_MAX, 1).seen);
    int64_t id = request(&connection);
    execute(*state, "UPDATE scheduler_seen SET at = at - interval '1 s'");
    assert_false(look_at(&connection, INT64_MAX, 1).seen);
    assert_int_equal(request(&connection), 0); /* although a job waits */
    beat(&connection, SECOND_TOKEN);
    beat(&connection, FIRST_TOKEN);
    assert_int_equal(request(&connection), id);
    assert_string_equal(query(*state, "SELECT count(*) FROM scheduler_seen"), "1");
    assert_string_equal(query(*state, "SELECT count(*) FROM jobs"), "1");
    connection_close(&connection);
}

/* What comes while a job waits shares it; what comes while one runs shares the next; and jobs begin
 * at most one a second, whichever scheduler begins them. */
static void test_requests_share(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    beat(&connection, FIRST_TOKEN);
    assert_int_equal(claimable(&connection), 0);
    int64_t first = request(&connection);
    for (int i = 0; i < 5; i++)
        assert_int_equal(request(&connection), first);
    assert_int_equal(claimable(&connection), 1);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    assert_int_equal(claim(&connection, SECOND_TOKEN), 0);

    int64_t second = request(&connection);
    assert_int_not_equal(second, first);
    assert_int_equal(request(&connection), second);
    finish(&connection, FIRST_TOKEN, NULL);
    assert_int_equal(look_at(&connection, first, first).state, JOB_DONE);
    assert_int_equal(look_at(&connection, first, second).state, JOB_UNFINISHED);

    assert_int_equal(claimable(&connection), 0); /* a second has not passed */
    assert_int_equal(claim(&connection, SECOND_TOKEN), 0);
    let_a_second_pass(*state);
    assert_int_equal(claimable(&connection), 1);
    assert_int_equal(claim(&connection, SECOND_TOKEN), 1);
    finish(&connection, FIRST_TOKEN, "not its own");
    assert_int_equal(look_at(&connection, second, second).state, JOB_UNFINISHED);
    finish(&connection, SECOND_TOKEN, "out of space");
    assert_int_equal(look_at(&connection, second, second).state, JOB_FAILED);
    assert_int_equal(look_at(&connection, first, first).state, JOB_DONE);
    assert_string_equal(query(*state, "SELECT string_agg(concat_ws(' ', kind, state, error,"
                                      " started <= finished AND requested <= finished), ', '"
                                      " ORDER BY id) FROM jobs"),
                        "refresh done t, refresh failed out of space t");
    connection_close(&connection);
}

/* Another kind is another queue. */
static void test_kinds(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    beat(&connection, FIRST_TOKEN);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('other')");
    assert_int_equal(claimable(&connection), 0);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 0);
    execute(*state, "UPDATE jobs SET token = 11, started = now(), lease = now()");
    int64_t id = request(&connection);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    finish(&connection, FIRST_TOKEN, NULL);
    assert_int_equal(look_at(&connection, 0, id).state, JOB_DONE);
    assert_string_equal(query(*state, "SELECT state FROM jobs WHERE kind = 'other'"), "waiting");
    connection_close(&connection);
}

/* A claim is not committed yet when a request comes: the request does not share that job, which may
 * have begun before it. */
static void test_request_during_a_claim(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    beat(&connection, FIRST_TOKEN);
    int64_t first = request(&connection);
    execute(fixture, "BEGIN; UPDATE jobs SET token = 11, state = 'running', started = now(),"
                     " lease = now() + interval '5 s'");
    struct told told = {.done = false};
    assert_int_equal(jobs_request(connection.database, KIND, on_told, &told), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    assert_false(told.done);
    execute(fixture, "COMMIT");
    assert_true(wait_for(&connection, 0, &told) > first);
    connection_close(&connection);
}

/* The lease of a scheduler that is there is renewed. When one is gone, another takes the job; the
 * late one changes nothing any more. */
static void test_lease(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    beat(&connection, FIRST_TOKEN);
    int64_t id = request(&connection);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    let_a_second_pass(fixture);
    assert_int_equal(claimable(&connection), 0);

    execute(fixture, "UPDATE jobs SET lease = now() + interval '1 s'");
    beat(&connection, SECOND_TOKEN); /* of others' jobs it renews nothing */
    assert_string_equal(query(fixture, "SELECT lease < now() + interval '1 s' FROM jobs"), "t");
    beat(&connection, FIRST_TOKEN);
    assert_string_equal(query(fixture, "SELECT lease BETWEEN now() + interval '4 s'"
                                       " AND now() + interval '5 s' FROM jobs"),
                        "t");

    execute(fixture, "UPDATE jobs SET lease = now() - interval '1 ms'");
    assert_int_equal(claimable(&connection), 1);
    assert_int_equal(claim(&connection, SECOND_TOKEN), 1);
    let_a_second_pass(fixture);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 0);
    finish(&connection, FIRST_TOKEN, "too late");
    assert_int_equal(look_at(&connection, id, id).state, JOB_UNFINISHED);
    finish(&connection, SECOND_TOKEN, NULL);
    assert_int_equal(look_at(&connection, id, id).state, JOB_DONE);
    finish(&connection, FIRST_TOKEN, "too late");
    assert_int_equal(look_at(&connection, id, id).state, JOB_DONE);
    connection_close(&connection);
}

/* PostgreSQL's clock is set back by an hour. */
static void test_the_clock_is_set_back(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    beat(&connection, FIRST_TOKEN);
    request(&connection);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    finish(&connection, FIRST_TOKEN, NULL);
    request(&connection);
    execute(*state, "UPDATE jobs SET started = started + interval '1 h'");
    assert_int_equal(claimable(&connection), 1);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    connection_close(&connection);
}

static void test_the_last_are_kept(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    beat(&connection, FIRST_TOKEN);
    execute(*state, "INSERT INTO jobs (kind, finished) VALUES ('other', NULL);"
                    "INSERT INTO jobs (kind, state, finished) VALUES ('other', 'done', now());"
                    "INSERT INTO jobs (kind, state, finished)"
                    " SELECT 'refresh', 'done', now() FROM generate_series(1, 10050)");
    (void)request(&connection);
    assert_int_equal(claim(&connection, FIRST_TOKEN), 1);
    finish(&connection, FIRST_TOKEN, NULL);
    assert_string_equal(query(*state, "SELECT count(*) FROM jobs WHERE finished IS NOT NULL"
                                      " AND kind = 'refresh'"),
                        "10001"); /* and the one that has just finished */
    assert_string_equal(query(*state, "SELECT min(id) FROM jobs WHERE finished IS NOT NULL"
                                      " AND kind = 'refresh'"),
                        "53");
    assert_string_equal(query(*state, "SELECT state FROM jobs WHERE kind = 'other'"
                                      " AND finished IS NOT NULL"),
                        "done"); /* each kind is kept by itself */
    assert_string_equal(query(*state, "SELECT count(*) FROM jobs WHERE finished IS NULL"), "1");
    connection_close(&connection);
}

/* With a standby that does not come, commits wait; a beat does not. */
static void test_a_beat_does_not_wait_for_the_disk(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection, other;
    connection_open(&connection, fixture);
    connection_open(&other, fixture);
    beat(&connection, FIRST_TOKEN);
    execute(fixture, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    execute(fixture, "SELECT pg_reload_conf()");
    run_until_query(fixture, "SHOW synchronous_standby_names", "nobody");
    run_for(fixture, 200); /* the others have read it, too */
    struct told told = {.done = false};
    assert_int_equal(jobs_request(other.database, KIND, on_told, &told), 0);
    for (int i = 0; i < 5; i++)
        beat(&connection, FIRST_TOKEN);
    run_for(fixture, 100);
    assert_false(told.done);
    execute(fixture, "ALTER SYSTEM RESET synchronous_standby_names");
    execute(fixture, "SELECT pg_reload_conf()");
    assert_true(wait_for(&other, 0, &told) > 0);
    connection_close(&other);
    connection_close(&connection);
}

int run_jobs_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_without_a_scheduler),
        DATABASE_TEST(test_requests_share),
        DATABASE_TEST(test_kinds),
        DATABASE_TEST(test_request_during_a_claim),
        DATABASE_TEST(test_lease),
        DATABASE_TEST(test_the_clock_is_set_back),
        DATABASE_TEST(test_the_last_are_kept),
        DATABASE_TEST(test_a_beat_does_not_wait_for_the_disk),
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
