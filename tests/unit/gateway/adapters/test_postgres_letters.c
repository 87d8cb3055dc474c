/* Letters and jobs against a real, private PostgreSQL; above all answers that are lost. */
#include "proto/timestamp.h"
#include "services/gateway/adapters/postgres_letters.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct adapter {
    struct fixture *fixture;
    struct dead_letters *port;
    struct job_records *jobs;
    bool up;
    int wake_fd;
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct adapter *adapter = arg;
    assert_true(up == (reason == NULL));
    adapter->up = up;
}

static void adapter_open(struct adapter *adapter, struct fixture *fixture)
{
    *adapter = (struct adapter){.fixture = fixture, .wake_fd = eventfd(0, EFD_NONBLOCK)};
    const struct postgres_letters_options options = {.dsn = fixture->dsn,
                                                     .outbox_wake_fd = adapter->wake_fd,
                                                     .on_state = on_state,
                                                     .arg = adapter};
    adapter->port = postgres_letters_new(fixture->loop, &options);
    adapter->jobs = postgres_letters_jobs(adapter->port);
    run_until(fixture, &adapter->up);
    execute(fixture, "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
                     " body_bytes, properties, digest, died_at)"
                     " VALUES ('q', 'malformed', '', 'intake', 0, '', 0, '', '', now())");
}

static void adapter_close(struct adapter *adapter)
{
    postgres_letters_free(adapter->port);
    close(adapter->wake_fd);
}

static bool woken(struct adapter *adapter)
{
    eventfd_t wakes;
    return eventfd_read(adapter->wake_fd, &wakes) == 0;
}

struct answer {
    bool done;
    enum order_store_status status;
    enum letter_settled result;
    int64_t number;
};

static void on_settled(void *arg, enum order_store_status status, enum letter_settled result,
                       const struct letter *letter)
{
    assert_true((letter != NULL) == (status == ORDER_STORE_OK && result == LETTER_ENDED) ||
                result == LETTER_SETTLED);
    *(struct answer *)arg = (struct answer){true, status, result, 0};
}

static struct letter_settling a_replay(void)
{
    return (struct letter_settling){
        .id = 1, .at_us = timestamp_now_us(), .by = "ada", .order = make_order(7, "a", 100)};
}

static void begin(struct adapter *adapter, const struct letter_settling *settling,
                  struct answer *answer)
{
    *answer = (struct answer){.done = false};
    assert_int_equal(adapter->port->settle(adapter->port->self, settling, on_settled, answer), 0);
    assert_false(answer->done);
}

#define CUT                                                                                        \
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"                                       \
    " WHERE application_name = 'gateway letters' AND datname = current_database()"

static void test_settle(void **state)
{
    struct adapter adapter;
    struct answer answer;
    struct letter_settling replay = a_replay(), discard = a_replay();
    adapter_open(&adapter, *state);
    begin(&adapter, &replay, &answer);
    run_until(*state, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    assert_int_equal(answer.result, LETTER_SETTLED);
    assert_true(woken(&adapter));
    discard.reason = "none";
    begin(&adapter, &discard, &answer);
    run_until(*state, &answer.done);
    assert_int_equal(answer.result, LETTER_ENDED);
    execute(*state, "UPDATE dead_letters SET state = 'dead', ended_at = NULL");
    begin(&adapter, &discard, &answer);
    run_until(*state, &answer.done);
    assert_int_equal(answer.result, LETTER_SETTLED);
    assert_false(woken(&adapter)); /* there is nothing to relay */
    adapter_close(&adapter);
}

/* The server ends the session, and says so: nothing was changed. */
static void test_lost_before_the_commit(void **state)
{
    struct fixture *fixture = *state;
    struct adapter adapter;
    struct answer answer;
    struct letter_settling replay = a_replay();
    adapter_open(&adapter, fixture);
    execute(fixture, "BEGIN; SELECT FROM dead_letters WHERE id = 1 FOR UPDATE");
    begin(&adapter, &replay, &answer);
    run_until_query(fixture,
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN"
                    " (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
                    "1");
    execute(fixture, CUT);
    execute(fixture, "COMMIT");
    run_until(fixture, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_UNAVAILABLE);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "0");
    assert_string_equal(query(fixture, "SELECT state FROM dead_letters"), "dead");
    adapter_close(&adapter);
}

/* A replay whose commit waits for a standby that does not come. */
static void begin_a_commit(struct adapter *adapter, const struct letter_settling *replay,
                           struct answer *answer)
{
    struct fixture *fixture = adapter->fixture;
    execute(fixture, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    execute(fixture, "SELECT pg_reload_conf()");
    run_until_query(fixture, "SHOW synchronous_standby_names", "nobody");
    run_for(fixture, 200); /* the others have read it, too */
    begin(adapter, replay, answer);
    run_until_query(fixture, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
                    "1");
}

static void end_waiting_for_standby(struct fixture *fixture)
{
    execute(fixture, "ALTER SYSTEM RESET synchronous_standby_names");
    execute(fixture, "SELECT pg_reload_conf()");
    run_until_query(fixture, "SHOW synchronous_standby_names", "");
}

/* The connection is lost when all is committed but the answer. */
static void test_lost_after_the_commit(void **state)
{
    struct adapter adapter;
    struct answer answer;
    struct letter_settling replay = a_replay();
    adapter_open(&adapter, *state);
    begin_a_commit(&adapter, &replay, &answer);
    execute(*state, CUT);
    end_waiting_for_standby(*state);
    run_until(*state, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_OK);
    assert_int_equal(answer.result, LETTER_SETTLED); /* and not LETTER_ENDED */
    assert_string_equal(query(*state, "SELECT count(*) FROM order_outbox"), "1");
    assert_true(woken(&adapter));
    adapter_close(&adapter);
}

/* And no other connection comes in time. */
static void test_lost_for_good(void **state)
{
    struct adapter adapter;
    struct answer answer;
    struct letter_settling replay = a_replay();
    adapter_open(&adapter, *state);
    execute(*state, "ALTER ROLE postgres NOLOGIN");
    begin_a_commit(&adapter, &replay, &answer);
    execute(*state, CUT);
    run_until(*state, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_UNKNOWN);
    assert_int_equal(adapter.port->settle(adapter.port->self, &replay, on_settled, &answer), -1);
    end_waiting_for_standby(*state);
    execute(*state, "ALTER ROLE postgres LOGIN");
    adapter_close(&adapter);
}

static void on_listed(void *arg, enum order_store_status status, const struct letter *letters,
                      size_t count)
{
    (void)letters;
    *(struct answer *)arg =
        (struct answer){.done = true, .status = status, .number = (int64_t)count};
}

static void on_jobs(void *arg, enum order_store_status status, const struct job_record *jobs,
                    size_t count)
{
    (void)jobs;
    *(struct answer *)arg =
        (struct answer){.done = true, .status = status, .number = (int64_t)count};
}

static void on_job(void *arg, enum order_store_status status, int64_t job, int64_t total)
{
    (void)total;
    *(struct answer *)arg = (struct answer){.done = true, .status = status, .number = job};
}

static void test_reads_and_jobs(void **state)
{
    struct fixture *fixture = *state;
    struct adapter adapter;
    struct answer answer = {.done = false};
    const struct letter_filter all = {.state = NULL};
    const struct letter_job_request job = {.parameters = "{}", .by = "ada"};
    adapter_open(&adapter, fixture);
    assert_int_equal(adapter.port->list(adapter.port->self, &all, 9, 9, on_listed, &answer), 0);
    run_until(fixture, &answer.done);
    assert_true(answer.status == ORDER_STORE_OK && answer.number == 1);
    answer.done = false;
    assert_int_equal(adapter.port->begin_job(adapter.port->self, &job, on_job, &answer), 0);
    run_until(fixture, &answer.done);
    assert_true(answer.status == ORDER_STORE_OK && answer.number == 1);
    answer.done = false;
    assert_int_equal(adapter.jobs->list(adapter.jobs->self, 9, 9, on_jobs, &answer), 0);
    run_until(fixture, &answer.done);
    assert_true(answer.status == ORDER_STORE_OK && answer.number == 1);

    execute(fixture, "DROP TABLE job_items");
    answer.done = false;
    assert_int_equal(adapter.port->begin_job(adapter.port->self, &job, on_job, &answer), 0);
    run_until(fixture, &answer.done);
    assert_int_equal(answer.status, ORDER_STORE_FAILED);
    /* What is under way is dropped with the adapter. */
    assert_int_equal(adapter.port->list(adapter.port->self, &all, 9, 9, on_listed, &answer), 0);
    adapter_close(&adapter);
}

static void on_begun(void *arg, enum order_store_status status, const struct job_record *job,
                     bool begun)
{
    *(struct answer *)arg = (struct answer){
        .done = true, .status = status, .number = job != NULL ? (begun ? job->id : -job->id) : 0};
}

/* Whoever loses the race is told which job has won it. */
static void test_begin_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct adapter adapter;
    struct answer answer = {.done = false};
    const struct index_job_request verify = {"verify", "{}", "ada"};
    adapter_open(&adapter, fixture);
    execute(fixture, "BEGIN; INSERT INTO jobs (kind) VALUES ('reindex')");
    assert_int_equal(adapter.jobs->begin(adapter.jobs->self, &verify, on_begun, &answer), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    execute(fixture, "COMMIT");
    run_until(fixture, &answer.done);
    assert_true(answer.status == ORDER_STORE_OK && answer.number == -1);

    execute(fixture, "UPDATE jobs SET finished = now()");
    answer.done = false;
    assert_int_equal(adapter.jobs->begin(adapter.jobs->self, &verify, on_begun, &answer), 0);
    run_until(fixture, &answer.done);
    assert_true(answer.status == ORDER_STORE_OK && answer.number > 1);
    adapter_close(&adapter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_settle),
        DATABASE_TEST(test_lost_before_the_commit),
        DATABASE_TEST(test_lost_after_the_commit),
        DATABASE_TEST(test_lost_for_good),
        DATABASE_TEST(test_reads_and_jobs),
        DATABASE_TEST(test_begin_at_once),
    };
    postgres_server_start();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop();
    return failures;
}
