/* Jobs as people see them, and how they cancel them. */
#include "services/clients/postgres/job_records.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct seen {
    bool done;
    size_t count;
    bool canceled;
    struct job_record first;
    char text[200]; /* of the texts of the first */
    char ids[200];
};

static void note(struct seen *seen, const struct job_record *job)
{
    seen->first = *job;
    snprintf(
        seen->text, sizeof seen->text, "%s %s %s %s %s %s", job->kind, job->state,
        job->parameters != NULL ? job->parameters : "-", job->result != NULL ? job->result : "-",
        job->requested_by != NULL ? job->requested_by : "-", job->error != NULL ? job->error : "-");
}

static void on_listed(void *arg, const struct job_record *jobs, size_t count,
                      const struct database_answer *answer)
{
    struct seen *seen = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    seen->done = true;
    seen->count = count;
    for (size_t i = 0, len = 0; i < count; i++)
        len +=
            (size_t)snprintf(seen->ids + len, sizeof seen->ids - len, "%" PRId64 " ", jobs[i].id);
    if (count > 0)
        note(seen, &jobs[0]);
}

static void on_canceled(void *arg, const struct job_record *job, bool canceled,
                        const struct database_answer *answer)
{
    struct seen *seen = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    seen->done = true;
    seen->count = job != NULL;
    seen->canceled = canceled;
    if (job != NULL)
        note(seen, job);
}

static struct seen find(struct connection *connection, int64_t id)
{
    struct seen seen = {.done = false};
    assert_int_equal(job_records_find(connection->database, id, on_listed, &seen), 0);
    run_until(connection->fixture, &seen.done);
    return seen;
}

static struct seen list(struct connection *connection, int64_t before_id, unsigned limit)
{
    struct seen seen = {.done = false};
    assert_int_equal(job_records_list(connection->database, before_id, limit, on_listed, &seen), 0);
    run_until(connection->fixture, &seen.done);
    return seen;
}

static struct seen cancel(struct connection *connection, int64_t id)
{
    struct seen seen = {.done = false};
    assert_int_equal(job_records_cancel(connection->database, id, on_canceled, &seen), 0);
    run_until(connection->fixture, &seen.done);
    return seen;
}

static void test_records(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_int_equal(list(&connection, INT64_MAX, 10).count, 0);
    execute(*state,
            "INSERT INTO jobs (kind, state, requested, started, finished, error,"
            " parameters, requested_by, total, done, result, automatic) VALUES"
            " ('replay', 'failed', '2000-01-01T00:00:01Z', '2000-01-01T00:00:02Z',"
            "  '2000-01-01T00:00:03Z', 'five in a row', '{\"a\": 1}', 'ada', 7, 5, '{}', true),"
            " ('refresh', 'waiting', '-infinity', NULL, NULL, NULL, NULL, NULL, NULL, 0,"
            "  NULL, false)");
    struct seen seen = find(&connection, 1);
    assert_string_equal(seen.text, "replay failed {\"a\": 1} {} ada five in a row");
    assert_true(seen.first.requested_at_us == INT64_C(946684801000000));
    assert_true(seen.first.was_started && seen.first.started_at_us == INT64_C(946684802000000));
    assert_true(seen.first.was_finished && seen.first.finished_at_us == INT64_C(946684803000000));
    assert_true(seen.first.has_total && seen.first.total == 7 && seen.first.done == 5);
    assert_true(seen.first.automatic);
    seen = list(&connection, INT64_MAX, 10);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.text, "refresh waiting - - - -");
    assert_false(seen.first.automatic || seen.first.was_started || seen.first.was_finished ||
                 seen.first.has_total);
    assert_int_equal(list(&connection, INT64_MAX, 1).count, 1);
    assert_int_equal(list(&connection, 2, 10).first.id, 1);
    assert_int_equal(find(&connection, 3).count, 0);
    connection_close(&connection);
}

/* A long job that runs is not hidden by refreshes that came after it. */
static void test_overview(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct seen seen = {.done = false};
    assert_int_equal(job_records_overview(connection.database, on_listed, &seen), 0);
    run_until(connection.fixture, &seen.done);
    assert_int_equal(seen.count, 0);
    execute(*state, "INSERT INTO jobs (kind, finished) VALUES ('replay', now()), ('replay', NULL),"
                    " ('refresh', NULL);"
                    "INSERT INTO jobs (kind) SELECT 'discard' FROM generate_series(1, 20);"
                    "INSERT INTO jobs (kind) SELECT 'refresh' FROM generate_series(1, 7)");
    seen = (struct seen){.done = false};
    assert_int_equal(job_records_overview(connection.database, on_listed, &seen), 0);
    run_until(connection.fixture, &seen.done);
    assert_string_equal(seen.ids, "30 29 28 27 26 12 11 10 9 8 7 6 5 4 2 ");
    connection_close(&connection);
}

static struct seen begin(struct connection *connection, const char *kind)
{
    struct seen seen = {.done = false};
    const struct index_job_request request = {kind, "{\"full\":true}", "ada"};
    assert_int_equal(job_records_begin(connection->database, &request, on_canceled, &seen), 0);
    run_until(connection->fixture, &seen.done);
    return seen;
}

static void test_begin(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "INSERT INTO jobs (kind, finished) VALUES ('verify', now()), ('replay', NULL),"
                     " ('refresh', NULL)");
    struct seen seen = begin(&connection, "verify");
    assert_true(seen.canceled && seen.first.id == 4 && !seen.first.automatic);
    assert_string_equal(seen.text, "verify waiting {\"full\": true} - ada -");
    seen = begin(&connection, "reindex");
    assert_true(!seen.canceled && seen.first.id == 4);

    /* One that a scheduler began by itself is in the way, too; the one that runs is named. */
    execute(fixture, "UPDATE jobs SET finished = now() WHERE id = 4;"
                     "INSERT INTO jobs (kind, automatic, state) VALUES ('verify', true, 'waiting'),"
                     " ('repair', true, 'running')");
    seen = begin(&connection, "reindex");
    assert_true(!seen.canceled && seen.first.automatic);
    assert_string_equal(seen.text, "repair running - - - -");
    execute(fixture, "UPDATE jobs SET finished = now(), state = 'done'");
    assert_true(begin(&connection, "repair").canceled);
    connection_close(&connection);
}

/* Another is begun, and nobody has seen it yet: no job is answered, and the next time it is. */
static void test_begin_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct seen seen = {.done = false};
    const struct index_job_request request = {"verify", "{}", "ada"};
    execute(fixture, "BEGIN; INSERT INTO jobs (kind) VALUES ('reindex')");
    assert_int_equal(job_records_begin(connection.database, &request, on_canceled, &seen), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    assert_false(seen.done);
    execute(fixture, "COMMIT");
    run_until(fixture, &seen.done);
    assert_true(seen.count == 0 && !seen.canceled);
    seen = begin(&connection, "verify");
    assert_true(!seen.canceled && seen.first.id == 1);
    connection_close(&connection);
}

static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "INSERT INTO jobs (kind, state, started, token, lease) VALUES"
                     " ('replay', 'waiting', NULL, NULL, NULL),"
                     " ('discard', 'running', '2025-01-01Z', 5, now()),"
                     " ('refresh', 'waiting', NULL, NULL, NULL),"
                     " ('reindex', 'waiting', '2025-01-01Z', NULL, NULL)");
    struct seen seen = cancel(&connection, 1);
    assert_true(seen.canceled && seen.first.cancel_requested && seen.first.was_finished);
    assert_string_equal(seen.first.state != NULL ? seen.text : "", "replay canceled - - - -");
    seen = cancel(&connection, 1);
    assert_false(seen.canceled);
    assert_string_equal(seen.text, "replay canceled - - - -");

    seen = cancel(&connection, 2);
    assert_true(seen.canceled && seen.first.cancel_requested && !seen.first.was_finished);
    assert_string_equal(seen.text, "discard running - - - -");
    assert_true(cancel(&connection, 2).canceled); /* safe to repeat */

    assert_false(cancel(&connection, 3).canceled);
    assert_string_equal(query(fixture, "SELECT cancel FROM jobs WHERE id = 3"), "f");
    seen = cancel(&connection, 4); /* it was let go: a scheduler has to clean up first */
    assert_true(seen.canceled && seen.first.cancel_requested && !seen.first.was_finished);
    assert_string_equal(query(fixture, "SELECT state FROM jobs WHERE id = 4"), "waiting");
    assert_int_equal(cancel(&connection, 5).count, 0);
    connection_close(&connection);
}

int run_job_records_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_records),       DATABASE_TEST(test_overview), DATABASE_TEST(test_begin),
        DATABASE_TEST(test_begin_at_once), DATABASE_TEST(test_cancel),
    };
    return cmocka_run_group_tests_name("job records", tests, NULL, NULL);
}
