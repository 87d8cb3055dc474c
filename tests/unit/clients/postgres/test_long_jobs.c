/* Jobs that take long: the statements of a scheduler. */
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/long_jobs.h"
#include "services/clients/postgres/reindex_jobs.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <string.h>

enum { FIRST_TOKEN = 11, SECOND_TOKEN = -22 };

static const char *const kinds[] = {"replay", "discard"};
static const char *const index_kinds[] = {"reindex", "verify", "repair"};

/* An answer. */
struct told {
    bool done;
    enum database_status status;
    int64_t number;
    enum long_job_hold hold;
    double seconds;
    int64_t token; /* for a claim */
    bool claim_lost;
    struct long_job *job;
};

static void on_told(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    told->status = answer->status;
    assert_int_equal(answer->status, DATABASE_OK);
    told->hold = long_job_hold(answer);
    if (PQntuples(answer->result) > 0 && PQnfields(answer->result) == 2)
        told->seconds = long_jobs_seconds(answer);
    told->number = database_number(answer);
}

static void on_claimed(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    told->claim_lost = long_jobs_claim_lost(answer);
    if (told->claim_lost)
        return;
    assert_int_equal(answer->status, DATABASE_OK);
    told->job = long_jobs_claimed(answer, told->token);
}

static struct told wait_for(struct connection *connection, int sent, struct told *told)
{
    assert_int_equal(sent, 0);
    run_until(connection->fixture, &told->done);
    return *told;
}

static struct long_job *claim(struct connection *connection, int64_t token)
{
    struct told told = {.token = token};
    return wait_for(connection,
                    long_jobs_claim(connection->database, kinds, 2, token, on_claimed, &told),
                    &told)
        .job;
}

static struct long_job *claim_index(struct connection *connection, int64_t token)
{
    struct told told = {.token = token};
    return wait_for(connection,
                    long_jobs_claim(connection->database, index_kinds, 3, token, on_claimed, &told),
                    &told)
        .job;
}

static enum long_job_hold watch(struct connection *connection, const struct long_job *job)
{
    struct told told = {.done = false};
    return wait_for(connection, long_jobs_watch(connection->database, job, on_told, &told), &told)
        .hold;
}

static enum long_job_hold progress(struct connection *connection, const struct long_job *job,
                                   int64_t done, int64_t total, const char *checkpoint)
{
    struct told told = {.done = false};
    return wait_for(connection,
                    long_jobs_progress(connection->database, job,
                                       &(struct long_job_progress){done, total, checkpoint, NULL},
                                       on_told, &told),
                    &told)
        .hold;
}

static struct told finish(struct connection *connection, const struct long_job *job, bool canceled,
                          const char *error)
{
    struct told told = {.done = false};
    return wait_for(connection,
                    long_jobs_finish(connection->database, job, canceled, error, on_told, &told),
                    &told);
}

static enum long_job_hold let_go(struct connection *connection, const struct long_job *job)
{
    struct told told = {.done = false};
    return wait_for(connection, long_jobs_let_go(connection->database, job, on_told, &told), &told)
        .hold;
}

static void beat(struct connection *connection, const int64_t *tokens, size_t count)
{
    struct told told = {.done = false};
    (void)wait_for(connection, jobs_beat(connection->database, tokens, count, on_told, &told),
                   &told);
}

static void test_oldest_first(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_null(claim(&connection, FIRST_TOKEN));
    execute(*state, "INSERT INTO jobs (kind, parameters, requested_by, total) VALUES"
                    " ('refresh', NULL, NULL, NULL), ('discard', '{\"reason\":\"old\"}', 'eve', 3),"
                    " ('replay', NULL, NULL, NULL), ('reindex', NULL, NULL, NULL)");
    struct long_job *first = claim(&connection, FIRST_TOKEN);
    assert_int_equal(first->id, 2);
    assert_string_equal(first->kind, "discard");
    assert_string_equal(first->parameters, "{\"reason\": \"old\"}");
    assert_string_equal(first->requested_by, "eve");
    assert_null(first->checkpoint);
    assert_false(first->cancel);
    struct long_job *second = claim(&connection, SECOND_TOKEN);
    assert_int_equal(second->id, 3);
    assert_string_equal(second->parameters, "{}");
    assert_string_equal(second->requested_by, "unknown");
    assert_null(claim(&connection, FIRST_TOKEN)); /* other kinds are others' */
    assert_string_equal(query(*state, "SELECT string_agg(state, ' ' ORDER BY id) FROM jobs"),
                        "waiting running running waiting");
    long_job_free(first);
    long_job_free(second);
    connection_close(&connection);
}

static void test_progress(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind, total) VALUES ('replay', 10)");
    struct long_job *job = claim(&connection, FIRST_TOKEN);
    assert_int_equal(progress(&connection, job, 4, -1, "page 4"), LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', done, total, checkpoint) FROM jobs"),
                        "4 10 page 4");
    assert_int_equal(progress(&connection, job, 6, 12, NULL), LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', done, total, checkpoint) FROM jobs"),
                        "6 12 page 4");
    struct told told = {.done = false};
    const struct long_job_progress seen = {6, -1, NULL, "{\"index\":\"orders-000002\"}"};
    (void)wait_for(&connection, long_jobs_progress(connection.database, job, &seen, on_told, &told),
                   &told);
    assert_int_equal(progress(&connection, job, 6, -1, NULL), LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', done, total, checkpoint, result)"
                                      " FROM jobs"),
                        "6 12 page 4 {\"index\": \"orders-000002\"}");
    execute(*state, "UPDATE jobs SET cancel = true");
    assert_int_equal(watch(&connection, job), LONG_JOB_CANCELED);
    assert_int_equal(progress(&connection, job, 7, -1, NULL), LONG_JOB_CANCELED);
    long_job_free(job);
    connection_close(&connection);
}

/* One ends done, one failed, one canceled, which has left something. What is not this token's is
 * left alone. */
static void test_ends(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind) SELECT 'replay' FROM generate_series(1, 3)");
    for (int i = 0; i < 3; i++) {
        struct long_job *job = claim(&connection, FIRST_TOKEN);
        execute(*state, "UPDATE jobs SET started = started - interval '90 s' WHERE started > now()"
                        " - interval '60 s'");
        struct long_job wrong = *job;
        wrong.token = SECOND_TOKEN;
        assert_int_equal(finish(&connection, &wrong, false, NULL).hold, LONG_JOB_LOST);
        struct told told = finish(&connection, job, i == 2, i > 0 ? "out of space" : NULL);
        assert_int_equal(told.hold, LONG_JOB_HELD);
        assert_true(told.seconds >= 90 && told.seconds < 150);
        assert_int_equal(watch(&connection, job), LONG_JOB_LOST);
        assert_int_equal(finish(&connection, job, false, NULL).hold, LONG_JOB_LOST);
        long_job_free(job);
    }
    assert_null(claim(&connection, FIRST_TOKEN));
    assert_string_equal(query(*state, "SELECT string_agg(concat_ws(' ', state, error, lease), ', '"
                                      " ORDER BY id) FROM jobs"),
                        "done, failed out of space, canceled out of space");
    connection_close(&connection);
}

/* A scheduler is frozen; the lease ends, another scheduler goes on from the checkpoint. The first
 * one thaws and changes nothing, whatever it was about to write. */
static void test_a_frozen_one_writes_nothing(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('replay')");
    struct long_job *first = claim(&connection, FIRST_TOKEN);
    assert_int_equal(progress(&connection, first, 5, 10, "5"), LONG_JOB_HELD);
    beat(&connection, (const int64_t[]){SECOND_TOKEN, FIRST_TOKEN}, 2);
    assert_null(claim(&connection, SECOND_TOKEN));

    execute(*state, "UPDATE jobs SET lease = now() - interval '1 ms'");
    assert_int_equal(watch(&connection, first), LONG_JOB_LOST);
    assert_int_equal(progress(&connection, first, 6, -1, "6"), LONG_JOB_LOST);
    assert_int_equal(finish(&connection, first, false, NULL).hold, LONG_JOB_LOST);

    struct long_job *second = claim(&connection, SECOND_TOKEN);
    assert_string_equal(second->checkpoint, "5");
    beat(&connection, (const int64_t[]){FIRST_TOKEN}, 1); /* renews nothing */
    assert_int_equal(progress(&connection, first, 6, -1, "6"), LONG_JOB_LOST);
    assert_int_equal(finish(&connection, first, false, "too late").hold, LONG_JOB_LOST);
    assert_int_equal(let_go(&connection, first), LONG_JOB_LOST);
    assert_int_equal(watch(&connection, second), LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', state, done, total, checkpoint, token)"
                                      " FROM jobs"),
                        "running 5 10 5 -22");
    assert_int_equal(finish(&connection, second, false, NULL).hold, LONG_JOB_HELD);
    long_job_free(first);
    long_job_free(second);
    connection_close(&connection);
}

/* A claim under way is passed over, not waited for. */
static void test_claims_race(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('replay'), ('replay')");
    execute(*state, "BEGIN; SELECT id FROM jobs WHERE id = 1 FOR UPDATE");
    struct long_job *job = claim(&connection, FIRST_TOKEN);
    assert_int_equal(job->id, 2);
    assert_null(claim(&connection, SECOND_TOKEN));
    execute(*state, "COMMIT");
    long_job_free(job);
    connection_close(&connection);
}

/* Of the kinds about the index one runs at a time. One that was begun goes on before the others. */
static void test_one_index_job(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind, automatic) VALUES ('verify', true),"
                    " ('reindex', false), ('repair', true)");
    execute(*state, "UPDATE jobs SET started = now() WHERE kind = 'reindex'");
    struct long_job *job = claim_index(&connection, FIRST_TOKEN);
    assert_string_equal(job->kind, "reindex");
    assert_null(claim_index(&connection, SECOND_TOKEN));
    execute(*state, "UPDATE jobs SET lease = now() - interval '1 ms' WHERE kind = 'reindex'");
    struct long_job *again = claim_index(&connection, SECOND_TOKEN);
    assert_string_equal(again->kind, "reindex");

    /* Another scheduler's claim is not committed yet. */
    assert_int_equal(finish(&connection, again, false, NULL).hold, LONG_JOB_HELD);
    execute(*state, "BEGIN; UPDATE jobs SET state = 'running', token = 7,"
                    " lease = now() + interval '1 h' WHERE kind = 'repair'");
    struct told told = {.token = FIRST_TOKEN};
    assert_int_equal(
        long_jobs_claim(connection.database, index_kinds, 3, FIRST_TOKEN, on_claimed, &told), 0);
    run_until_query(*state, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    assert_false(told.done); /* it waits for the other one's end */
    execute(*state, "COMMIT");
    run_until(*state, &told.done);
    assert_true(told.claim_lost);
    assert_string_equal(query(*state, "SELECT string_agg(state, ' ' ORDER BY id) FROM jobs"),
                        "waiting done running");
    long_job_free(job);
    long_job_free(again);
    connection_close(&connection);
}

/* Another scheduler need not wait for the lease's end. */
static void test_let_go(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind) VALUES ('discard')");
    struct long_job *job = claim(&connection, FIRST_TOKEN);
    assert_int_equal(progress(&connection, job, 1, 2, "1"), LONG_JOB_HELD);
    const char *started = query(*state, "SELECT started FROM jobs");
    char began[64];
    snprintf(began, sizeof began, "%s", started);
    assert_int_equal(let_go(&connection, job), LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT state FROM jobs"), "waiting");
    beat(&connection, (const int64_t[]){FIRST_TOKEN}, 1); /* one that was under way */
    struct long_job *again = claim(&connection, SECOND_TOKEN);
    assert_string_equal(again->checkpoint, "1");
    assert_string_equal(query(*state, "SELECT started FROM jobs"), began);
    long_job_free(job);
    long_job_free(again);
    connection_close(&connection);
}

static void test_what_is_left_is_forgotten(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "INSERT INTO jobs (kind, state, finished)"
                    " SELECT 'replay', 'canceled', now() FROM generate_series(1, 10050);"
                    "INSERT INTO jobs (kind, state, finished) VALUES ('discard', 'done', now());"
                    "INSERT INTO job_items (job, item) VALUES (1, 7), (2, 8), (10050, 9)");
    execute(*state, "INSERT INTO jobs (kind) VALUES ('replay');"
                    "INSERT INTO job_items (job, item) VALUES (10052, 10)");
    struct long_job *job = claim(&connection, FIRST_TOKEN);
    assert_int_equal(finish(&connection, job, true, NULL).hold, LONG_JOB_HELD);
    assert_string_equal(query(*state, "SELECT count(*) || ' ' || min(id) FROM jobs"
                                      " WHERE kind = 'replay'"),
                        "10001 51");
    assert_string_equal(query(*state, "SELECT string_agg(item::text, ' ' ORDER BY item)"
                                      " FROM job_items"),
                        "9 10");
    execute(*state, "INSERT INTO jobs (kind) VALUES ('replay');"
                    "INSERT INTO job_items (job, item) VALUES (10053, 11)");
    struct told told = {.done = false};
    assert_int_equal(
        wait_for(&connection, long_jobs_sweep(connection.database, on_told, &told), &told).number,
        2);
    assert_string_equal(query(*state, "SELECT string_agg(item::text, ' ') FROM job_items"), "11");
    long_job_free(job);
    connection_close(&connection);
}

struct named {
    bool done;
    char name[100];
};

static void on_named(void *arg, const struct database_answer *answer)
{
    struct named *named = arg;
    named->done = true;
    assert_int_equal(answer->status, DATABASE_OK);
    reindex_jobs_name(answer, named->name, sizeof named->name);
}

/* A number that was used once is not used again, also when its index is gone. */
static void test_the_last_index(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    for (int i = 0; i < 2; i++) {
        struct named named = {.done = false};
        assert_int_equal(
            reindex_jobs_last(connection.database, &(struct long_job){.id = 2}, on_named, &named),
            0);
        run_until(*state, &named.done);
        assert_string_equal(named.name, i == 0 ? "" : "orders-000010");
        execute(*state, "INSERT INTO jobs (kind, state, finished, result) VALUES"
                        " ('reindex', 'done', now(), '{\"index\":\"orders-000010\"}'),"
                        " ('reindex', 'done', now(), '{\"index\":\"orders-000012\"}'),"
                        " ('reindex', 'failed', now(), NULL),"
                        " ('reindex', 'failed', now(), '{\"index\":\"orders-000009\"}'),"
                        " ('verify', 'failed', now(), '{\"index\":\"orders-000011\"}')");
    }
    connection_close(&connection);
}

int run_long_jobs_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_oldest_first),   DATABASE_TEST(test_progress),
        DATABASE_TEST(test_ends),           DATABASE_TEST(test_a_frozen_one_writes_nothing),
        DATABASE_TEST(test_claims_race),    DATABASE_TEST(test_one_index_job),
        DATABASE_TEST(test_let_go),         DATABASE_TEST(test_what_is_left_is_forgotten),
        DATABASE_TEST(test_the_last_index),
    };
    return cmocka_run_group_tests_name("long jobs", tests, NULL, NULL);
}
