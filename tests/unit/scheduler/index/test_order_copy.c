/* Copying orders from a real PostgreSQL into a fake Elasticsearch, by the test's own clock. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/postgres/order_scan.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/order_copy.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/index/fake_index.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stand {
    struct fixture *fixture;
    struct fake_index index;
    struct elasticsearch_options server;
    struct index_context context;
    struct order_copy *copy;
    struct job_run *run;
    bool tail, compare_needed;
    struct job_kind kind;
    struct job_runner *runner;
};

/* ---- a kind that copies ---- */

static void *begin(void *arg, struct job_run *run)
{
    struct stand *stand = arg;
    stand->run = run;
    stand->copy = order_copy_new(&stand->context, run,
                                 &(struct order_copy_options){.index = "orders",
                                                              .require_alias = true,
                                                              .checkpoint = run->job->checkpoint});
    if (stand->tail)
        order_copy_tail(stand->copy);
    return stand;
}

static void on_told(void *arg, const struct database_answer *answer)
{
    struct stand *stand = arg;
    const char *reason;
    if (job_run_answered(stand->run, answer, true) &&
        order_copy_state(stand->copy, &reason) == ORDER_COPY_DONE)
        job_run_done(stand->run);
}

/* Tell PostgreSQL after each step, as good as. */
static void step(void *work)
{
    struct stand *stand = work;
    static unsigned steps;
    const char *reason = NULL;
    order_copy_step(stand->copy);
    enum order_copy_state state = order_copy_state(stand->copy, &reason);
    if (state == ORDER_COPY_FAILED) {
        job_run_fail(stand->run, reason);
    } else if (!stand->run->busy && (state == ORDER_COPY_DONE || steps++ % 2 == 0)) {
        stand->compare_needed = order_copy_compare_needed(stand->copy);
        json_t *json = order_copy_result(stand->copy);
        char *result = json_dumps(json, JSON_COMPACT);
        const struct long_job_progress progress = {.done = order_copy_done(stand->copy),
                                                   .total = order_copy_total(stand->copy),
                                                   .checkpoint = order_copy_checkpoint(stand->copy),
                                                   .result = result};
        job_run_sent(stand->run, long_jobs_progress(stand->run->database, stand->run->job,
                                                    &progress, on_told, stand));
        free(result);
        json_decref(json);
    }
}

static void end(void *work)
{
    struct stand *stand = work;
    order_copy_free(stand->copy);
    stand->copy = NULL;
}

/* ---- the stand ---- */

static void pass(struct fixture *fixture)
{
    test_clock_turn(event_loop_turn(fixture->loop, 2));
}

static void start_runner(struct stand *stand)
{
    struct fixture *fixture = stand->fixture;
    stand->runner = test_runner_new(fixture, &stand->kind, 1, NULL);
    wait_until(job_runner_up(stand->runner), pass(fixture));
    test_runner_lengthen_leases(fixture);
}

static struct stand *start(struct fixture *fixture)
{
    struct stand *stand = calloc(1, sizeof *stand);
    assert_non_null(stand);
    stand->fixture = fixture;
    fake_index_start(&stand->index);
    stand->server.url = stand->index.url;
    stand->context =
        (struct index_context){.loop = fixture->loop, .server = &stand->server, .index = "orders"};
    stand->kind =
        (struct job_kind){.name = "repair", .arg = stand, .begin = begin, .step = step, .end = end};
    start_runner(stand);
    return stand;
}

static void stop(struct stand *stand)
{
    job_runner_free(stand->runner);
    fake_index_stop(&stand->index);
    free(stand);
}

#define ID(number) "(lpad(to_hex(" number "), 8, '0') || '-0000-4000-8000-000000000000')::uuid"

static void insert(struct stand *stand, unsigned first, unsigned last, const char *name)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "INSERT INTO orders SELECT " ID("n") ", '%s', 1, now()"
                                                  " FROM generate_series(%u, %u) AS n",
             name, first, last);
    execute(stand->fixture, sql);
}

static void check_written(struct stand *stand, unsigned first, unsigned last, unsigned times)
{
    for (unsigned i = first; i <= last; i++)
        assert_int_equal(atomic_load(&stand->index.written[i]), times);
}

#define LAST "(SELECT * FROM jobs ORDER BY id DESC LIMIT 1) AS last"

static void add_job(struct stand *stand)
{
    execute(stand->fixture, "INSERT INTO jobs (kind) VALUES ('repair')");
    wait_until(stand->copy != NULL, pass(stand->fixture));
}

static const char *wait_for_end(struct stand *stand)
{
    wait_until(strcmp(query(stand->fixture, "SELECT finished IS NOT NULL FROM " LAST), "t") == 0,
               pass(stand->fixture));
    return query(stand->fixture, "SELECT concat_ws(' ', state, done, total, error, result)"
                                 " FROM " LAST);
}

static const char *copy_all(struct stand *stand)
{
    add_job(stand);
    return wait_for_end(stand);
}

#define RESULT(copied, refused, ids, unreadable, passes, left)                                     \
    "{\"copied\": " copied ", \"passes\": " passes ", \"refused\": {\"ids\": [" ids                \
    "], \"count\": " refused "}, \"unreadable\": " unreadable ", \"transactions_left\": " left "}"

/* ---- the tests ---- */

static void test_copy(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 4999, "order");
    insert(stand, 5000, 5000, "poison");
    execute(stand->fixture, "INSERT INTO orders VALUES (" ID("5001") ", 'x', 'NaN', now())");
    assert_string_equal(copy_all(stand),
                        "done 5001 5001 " RESULT("4999", "1",
                                                 "\"00001388-0000-4000-8000-000000000000\"", "1",
                                                 "1", "false"));
    check_written(stand, 1, 4999, 1);
    assert_int_equal(atomic_load(&stand->index.written[5000]), 0);
    assert_int_equal(atomic_load(&stand->index.requests), 3); /* no row was committed meanwhile */
    assert_false(stand->compare_needed);
    stop(stand);
}

static void test_nothing_to_copy(void **state)
{
    struct stand *stand = start(*state);
    assert_string_equal(copy_all(stand), "done 0 0 " RESULT("0", "0", "", "0", "1", "false"));
    stop(stand);
}

/* Requests that are too large, an overload, a server that is away. */
static void test_obstacles(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 3000, "order");
    atomic_store(&stand->index.status, 503);
    add_job(stand);
    wait_until(atomic_load(&stand->index.requests) >= 3, pass(stand->fixture));
    atomic_store(&stand->index.items_max, 600);
    atomic_store(&stand->index.overloaded, true);
    atomic_store(&stand->index.status, 200);
    assert_string_equal(wait_for_end(stand),
                        "done 3000 3000 " RESULT("3000", "0", "", "0", "1", "false"));
    for (unsigned i = 1; i <= 3000; i++)
        assert_true(atomic_load(&stand->index.written[i]) > 0);
    stop(stand);
}

/* A block that lasts fails the job; one that passes does not. */
static void test_blocked(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 10, "order");
    atomic_store(&stand->index.status, 403);
    add_job(stand);
    wait_until(atomic_load(&stand->index.requests) >= 2, pass(stand->fixture));
    atomic_store(&stand->index.status, 200);
    assert_string_equal(wait_for_end(stand),
                        "done 10 10 " RESULT("10", "0", "", "0", "1", "false"));
    atomic_store(&stand->index.status, 403);
    const char *outcome = copy_all(stand);
    static const char failed[] = "failed 0 Elasticsearch refuses to write to the index: "
                                 "cluster_block_exception: the disk is full";
    if (strncmp(outcome, failed, sizeof failed - 1) != 0)
        fail_msg("%s", outcome);
    stop(stand);
}

/* The scheduler dies in the middle; another one goes on from the checkpoint. */
#define COPIED 6000 /* of 10,000 */
static void test_goes_on(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 10000, "order");
    atomic_store(&stand->index.requests_max, COPIED / ORDER_PAGE_ROWS);
    add_job(stand);
    wait_until(atoi(query(stand->fixture, "SELECT done FROM " LAST)) == COPIED,
               pass(stand->fixture));
    job_runner_free(stand->runner);
    atomic_store(&stand->index.requests_max, UINT_MAX);
    insert(stand, 10001, 10010, "late");
    execute(stand->fixture, "DELETE FROM orders WHERE id = " ID(
                                "1") ";"
                                     "UPDATE orders SET product_name = 'new' WHERE id = " ID(
                                         "2") ";"
                                              "UPDATE jobs SET lease = now()");
    start_runner(stand);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT concat_ws(' ', state, done) FROM " LAST),
                        "done 10010");
    check_written(stand, 3, COPIED, 1);
    check_written(stand, 2, 2, 2); /* changed behind the place where it went on */
    for (unsigned i = COPIED; i <= 10010; i++)
        assert_true(atomic_load(&stand->index.written[i]) > 0);
    stop(stand);
}

static PGconn *begin_order(struct stand *stand, const char *sql)
{
    PGconn *conn = PQconnectdb(stand->fixture->dsn);
    PQclear(PQexec(conn, "BEGIN"));
    PGresult *result = PQexec(conn, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    return conn;
}

static void commit(PGconn *conn)
{
    PQclear(PQexec(conn, "COMMIT"));
    PQfinish(conn);
}

/* The swap has come: the job goes on from what `checkpoint` makes of its checkpoint. Returns after
 * the first pass. */
static void begin_tail(struct stand *stand, const char *checkpoint)
{
    char sql[300];
    snprintf(sql, sizeof sql,
             "WITH last AS (SELECT checkpoint FROM jobs)"
             " INSERT INTO jobs (kind, checkpoint) SELECT 'repair', %s FROM last",
             checkpoint);
    execute(stand->fixture, sql);
    stand->tail = true;
    wait_until(stand->copy != NULL, pass(stand->fixture));
    wait_until(atoi(query(stand->fixture, "SELECT result->>'passes' FROM " LAST)) >= 2,
               pass(stand->fixture));
}

/* Young orders are found by their ids at once: here all are young. What is committed until the last
 * _bulk of before the swap has ended is found, too. */
static void test_after_the_swap(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 10, "order");
    (void)copy_all(stand);
    begin_tail(stand, "jsonb_set(checkpoint::jsonb, '{looked_ms}', '60000')::text");
    check_written(stand, 1, 10, 2);
    insert(stand, 20, 29, "its document went to the old index");
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT state FROM " LAST), "done");
    check_written(stand, 20, 29, 1);
    check_written(stand, 1, 10, 2);
    stop(stand);
}

/* A transaction is open when the copy begins, and is committed after the swap. Others do not wait
 * for it. */
static void test_tail(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 100, "order");
    PGconn *late =
        begin_order(stand, "INSERT INTO orders VALUES (" ID("200") ", 'late', 1, now())");
    (void)copy_all(stand);
    insert(stand, 300, 309, "before the swap");
    begin_tail(stand, "checkpoint");
    assert_int_equal(atomic_load(&stand->index.written[309]), 1);
    insert(stand, 310, 310, "its document went to the old index");
    wait_until(atomic_load(&stand->index.written[310]) > 0, pass(stand->fixture));
    for (int i = 0; i < 700; i++) /* more than 2 s of looks */
        pass(stand->fixture);
    assert_string_equal(query(stand->fixture, "SELECT state FROM " LAST), "running");
    assert_int_equal(atomic_load(&stand->index.written[200]), 0);
    commit(late);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture,
                              "SELECT state || ' ' || (result->>'transactions_left')"
                              " FROM " LAST),
                        "done false");
    assert_int_equal(atomic_load(&stand->index.written[200]), 1);
    check_written(stand, 1, 100, 1);
    assert_true(!stand->compare_needed);
    stop(stand);
}

/* A transaction that does not end is left after 10 minutes. */
static void test_tail_ends(void **state)
{
    struct stand *stand = start(*state);
    (void)copy_all(stand);
    PGconn *late =
        begin_order(stand, "INSERT INTO orders VALUES (" ID("200") ", 'late', 1, now())");
    begin_tail(stand, "checkpoint");
    run_for(stand->fixture, 100); /* the clock stands still: no statement is under way then */
    test_clock_advance(10 * 60 * 1000);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture,
                              "SELECT state || ' ' || (result->>'transactions_left')"
                              " FROM " LAST),
                        "done true");
    commit(late);
    stop(stand);
}

/* The table is written anew while its changes are read: its rows have other places then, and all
 * changes are read once more. */
static void test_rewritten(void **state)
{
    struct stand *stand = start(*state);
    (void)copy_all(stand);
    insert(stand, 1, 5000, "order");
    atomic_store(&stand->index.status, 503);
    execute(stand->fixture, "INSERT INTO jobs (kind, checkpoint) SELECT 'repair', checkpoint"
                            " FROM jobs");
    wait_until(stand->copy != NULL, pass(stand->fixture));
    unsigned before = atomic_load(&stand->index.requests);
    wait_until(atomic_load(&stand->index.requests) >= before + 3, pass(stand->fixture));
    execute(stand->fixture, "VACUUM FULL orders");
    atomic_store(&stand->index.status, 200);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT state || ' ' || (result->>'copied')"
                                              " FROM " LAST),
                        "done 10000");
    check_written(stand, 1, 5000, 2);
    stop(stand);
}

/* Nobody can tell what was committed meanwhile. */
static void test_compare_needed(void **state)
{
    struct stand *stand = start(*state);
    insert(stand, 1, 10, "order");
    (void)copy_all(stand);
    assert_false(stand->compare_needed);
    execute(stand->fixture, "INSERT INTO jobs (kind, checkpoint) SELECT 'repair',"
                            " replace(checkpoint, '/00000001', '/00000002') FROM jobs");
    (void)wait_for_end(stand);
    assert_true(stand->compare_needed);
    execute(stand->fixture, "DROP MATERIALIZED VIEW daily_sales_mv; ALTER TABLE orders RENAME TO"
                            " stored; CREATE VIEW orders AS TABLE stored");
    stand->compare_needed = false;
    const char *outcome = copy_all(stand);
    assert_string_equal(outcome, "done 10 10 " RESULT("10", "0", "", "0", "0", "false"));
    assert_true(stand->compare_needed);
    stop(stand);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_copy),      DATABASE_TEST(test_nothing_to_copy),
        DATABASE_TEST(test_obstacles), DATABASE_TEST(test_blocked),
        DATABASE_TEST(test_goes_on),   DATABASE_TEST(test_after_the_swap),
        DATABASE_TEST(test_tail),      DATABASE_TEST(test_tail_ends),
        DATABASE_TEST(test_rewritten), DATABASE_TEST(test_compare_needed),
    };
    int failures = cmocka_run_group_tests_name("order_copy", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
