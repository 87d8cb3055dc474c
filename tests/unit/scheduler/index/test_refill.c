/* Filling the index that is there, from a real PostgreSQL into a fake Elasticsearch. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/refill.h"
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
    struct refill_options options;
    struct job_kind kind;
    struct job_runner *runner;
    unsigned repairs;
};

/* ---- the kind of the same name ---- */

static void *begin(void *arg, struct job_run *run)
{
    struct stand *stand = arg;
    stand->repairs++;
    return run;
}

static void step(void *work)
{
    job_run_done(work);
}

static void end(void *work)
{
    (void)work;
}

/* ---- the stand ---- */

static void pass(struct fixture *fixture)
{
    test_clock_advance(10);
    event_loop_turn(fixture->loop, 2);
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
    stand->options = (struct refill_options){
        .context = &stand->context,
        .repair = {.name = "repair", .arg = stand, .begin = begin, .step = step, .end = end}};
    stand->kind = refill_kind(&stand->options);
    start_runner(stand);
    execute(fixture, "INSERT INTO orders SELECT (lpad(to_hex(n), 8, '0') ||"
                     " '-0000-4000-8000-000000000000')::uuid, 'order', 1, now()"
                     " FROM generate_series(1, 10000) AS n; ANALYZE orders;"
                     "UPDATE search_index SET identity = 'uuid0', missing = 1");
    return stand;
}

static void stop(struct stand *stand)
{
    job_runner_free(stand->runner);
    fake_index_stop(&stand->index);
    free(stand);
}

static void ask(struct stand *stand, const char *parameters)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "INSERT INTO jobs (kind, automatic, parameters) VALUES ('repair', true, '%s')",
             parameters);
    execute(stand->fixture, sql);
}

#define LAST "(SELECT * FROM jobs ORDER BY id DESC LIMIT 1) AS last"

static void wait_for_query(struct stand *stand, const char *sql, const char *value)
{
    wait_until(strcmp(query(stand->fixture, sql), value) == 0, pass(stand->fixture));
}

static const char *wait_for_end(struct stand *stand)
{
    wait_for_query(stand, "SELECT finished IS NOT NULL FROM " LAST, "t");
    return query(stand->fixture,
                 "SELECT concat_ws(' ', state, done, total, error, result->>'index',"
                 " result->>'copied', (SELECT coalesce(missing::text, 'complete')"
                 " FROM search_index)) FROM " LAST);
}

/* ---- the tests ---- */

static void test_refill(void **state)
{
    struct stand *stand = start(*state);
    ask(stand, "{\"refill\":true}");
    assert_string_equal(wait_for_end(stand), "done 10000 10000 orders-000001 10000 complete");
    for (unsigned i = 1; i <= 10000; i++)
        assert_int_equal(atomic_load(&stand->index.written[i]), 1);
    assert_int_equal(stand->repairs, 0);
    ask(stand, "{}");
    (void)wait_for_end(stand);
    assert_int_equal(stand->repairs, 1);
    stop(stand);
}

/* How much is missing is told while it is copied; a scheduler that dies is taken over. */
static void test_goes_on(void **state)
{
    struct stand *stand = start(*state);
    ask(stand, "{\"refill\":true}");
    atomic_store(&stand->index.items_max, 100); /* slowly */
    wait_for_query(stand, "SELECT missing > 0 AND missing < 1 FROM search_index", "t");
    wait_for_query(stand, "SELECT done >= 2000 AND checkpoint IS NOT NULL FROM " LAST, "t");
    assert_string_equal(query(stand->fixture, "SELECT state || (done < total) FROM " LAST),
                        "runningtrue");
    job_runner_free(stand->runner);
    execute(stand->fixture, "UPDATE jobs SET lease = now()");
    atomic_store(&stand->index.items_max, 2000);
    start_runner(stand);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT missing IS NULL FROM search_index"), "t");
    assert_int_equal(atomic_load(&stand->index.written[1]), 1);
    for (unsigned i = 1; i <= 10000; i++)
        assert_true(atomic_load(&stand->index.written[i]) > 0);

    /* but in another index it begins anew */
    ask(stand, "{\"refill\":true}");
    execute(stand->fixture,
            "UPDATE jobs SET checkpoint = (SELECT checkpoint FROM jobs WHERE id = 1)"
            " WHERE id = 2");
    atomic_store(&stand->index.incarnation, 1);
    (void)wait_for_end(stand);
    assert_int_equal(atomic_load(&stand->index.written[1]), 2);
    stop(stand);
}

/* An index that is not there is waited for; one that has been replaced is not called complete. */
static void test_absent(void **state)
{
    struct stand *stand = start(*state);
    atomic_store(&stand->index.absent, true);
    ask(stand, "{\"refill\":true}");
    wait_until(atomic_load(&stand->index.requests) >= 3, pass(stand->fixture));
    execute(stand->fixture, "UPDATE search_index SET identity = 'uuid7'");
    atomic_store(&stand->index.absent, false);
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT state || (SELECT missing IS NOT NULL FROM"
                                              " search_index) FROM " LAST),
                        "donetrue");
    stop(stand);
}

/* An index that refuses more than a few orders is not told to be complete. */
static void test_many_refused(void **state)
{
    struct stand *stand = start(*state);
    execute(stand->fixture, "UPDATE orders SET product_name = 'poison'"
                            " WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 101)");
    ask(stand, "{\"refill\":true}");
    (void)wait_for_end(stand);
    assert_string_equal(query(stand->fixture, "SELECT concat_ws(' ', state, error = fault, error)"
                                              " FROM search_index, " LAST),
                        "failed t Elasticsearch refuses 101 of 10000 orders: does the mapping, such"
                        " as that of ORDER_INDEX_SETTINGS_FILE, fit?");
    execute(stand->fixture, "UPDATE orders SET product_name = 'good'"
                            " WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 1)");
    ask(stand, "{\"refill\":true}");
    assert_string_equal(wait_for_end(stand), "done 10000 10000 orders-000001 9900 complete");
    assert_string_equal(query(stand->fixture, "SELECT fault IS NULL FROM search_index"), "t");
    stop(stand);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_refill),
        DATABASE_TEST(test_goes_on),
        DATABASE_TEST(test_absent),
        DATABASE_TEST(test_many_refused),
    };
    int failures = cmocka_run_group_tests_name("refill", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
