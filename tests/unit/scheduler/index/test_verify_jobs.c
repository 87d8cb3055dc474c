/* Verifications and repairs of a real PostgreSQL against a fake Elasticsearch, on the test's clock:
 * what is waited for, and what does not fit into memory. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/verify_jobs.h"
#include "services/scheduler/ledger_task.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/index/fake_documents.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stand {
    struct fixture *fixture;
    struct http_peer *peer;
    char url[64];
    struct elasticsearch_options server;
    struct index_context context;
    struct job_kind kinds[2];
    struct job_runner *runner;
    struct fake_documents documents;
};

/* ---- the stand ---- */

static void turn(struct stand *stand)
{
    test_clock_turn(event_loop_turn(stand->fixture->loop, 2));
}

static void start_runner(struct stand *stand)
{
    struct fixture *fixture = stand->fixture;
    stand->runner = test_runner_new(fixture, stand->kinds, 2, NULL);
    wait_until(job_runner_up(stand->runner), turn(stand));
    test_runner_lengthen_leases(fixture);
}

/* Orders up to this number; those above `present_from` have documents. */
static struct stand *start(struct fixture *fixture, unsigned orders, unsigned present_from)
{
    struct stand *stand = calloc(1, sizeof *stand);
    char sql[400];
    assert_non_null(stand);
    stand->fixture = fixture;
    stand->peer = http_peer_new_answering(fake_documents_serve, &stand->documents);
    snprintf(stand->url, sizeof stand->url, "http://127.0.0.1:%u",
             (unsigned)http_peer_port(stand->peer));
    stand->server.url = stand->url;
    stand->context = (struct index_context){
        .loop = fixture->loop, .server = &stand->server, .index = "orders", .dsn = fixture->dsn};
    stand->kinds[0] = verify_kind(&stand->context);
    stand->kinds[1] = repair_kind(&stand->context);
    start_runner(stand);
    snprintf(sql, sizeof sql,
             "INSERT INTO orders SELECT (lpad(to_hex(n), 8, '0') ||"
             " '-0000-4000-8000-000000000000')::uuid, 'order', 1,"
             " '2020-01-01 00:00:00Z'::timestamptz + n / %d * interval '1 h'"
             " FROM generate_series(1, %u) AS n; ANALYZE orders",
             PER_HOUR, orders);
    execute(fixture, sql);
    for (unsigned n = present_from; n <= orders; n++)
        atomic_store(&stand->documents.present[n], true);
    return stand;
}

static void stop(struct stand *stand)
{
    job_runner_free(stand->runner);
    http_peer_free(stand->peer);
    free(stand);
}

static void ask(struct stand *stand, const char *kind, const char *parameters)
{
    char sql[200];
    snprintf(sql, sizeof sql, "INSERT INTO jobs (kind, parameters) VALUES ('%s', '%s')", kind,
             parameters);
    execute(stand->fixture, sql);
}

#define LAST "(SELECT * FROM jobs ORDER BY id DESC LIMIT 1) AS last"

static bool is(struct stand *stand, const char *sql)
{
    return strcmp(query(stand->fixture, sql), "t") == 0;
}

/* Since the setting test.advanced the runner has asked about its job, and all is answered. */
#define ANSWERED                                                                                   \
    "SELECT bool_or(query_start > current_setting('test.advanced')::timestamptz) AND"              \
    " bool_and(state = 'idle') FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND"            \
    " datname = current_database() AND backend_type = 'client backend'"

/* Two seconds at a time: a statement that is still under way after five is given up. */
static void pass_seconds(struct stand *stand, int seconds)
{
    for (int passed = 0; passed < seconds; passed += 2) {
        execute(stand->fixture,
                "SELECT set_config('test.advanced', clock_timestamp()::text, false)");
        test_clock_advance(2000);
        wait_until(is(stand, ANSWERED), turn(stand));
        for (int i = 0; i < 10; i++)
            turn(stand);
    }
}

/* Until nothing is asked any more: the job waits for the second look. */
static void wait_for_pause(struct stand *stand)
{
    unsigned before;
    wait_until(is(stand, "SELECT state = 'running' AND done = total AND total > 0 FROM " LAST),
               turn(stand));
    do {
        before = atomic_load(&stand->documents.requests);
        for (int i = 0; i < 50; i++)
            turn(stand);
    } while (atomic_load(&stand->documents.requests) != before);
}

static const char *wait_for_end(struct stand *stand)
{
    wait_until(is(stand, "SELECT finished IS NOT NULL FROM " LAST), turn(stand));
    return query(stand->fixture,
                 "SELECT concat_ws(' ', state, done = total, result->'missing'->>'count',"
                 " jsonb_array_length(result->'missing'->'ids'), result->'extra'->>'count',"
                 " result->'different'->>'count', result->>'repaired', result->>'approximate',"
                 " error) FROM " LAST);
}

static unsigned written(struct stand *stand, unsigned times)
{
    unsigned count = 0;
    for (unsigned n = 1; n <= ORDERS_MAX; n++)
        count += atomic_load(&stand->documents.written[n]) == times;
    return count;
}

/* ---- the tests ---- */

/* A difference is one that is still there 30 s later. */
static void test_settles(void **state)
{
    struct stand *stand = start(*state, 10000, 11);
    ask(stand, "verify", "{\"full\":true}");
    wait_for_pause(stand);
    for (unsigned n = 3; n <= 10; n++)
        atomic_store(&stand->documents.present[n], true); /* it was in flight */
    unsigned before = atomic_load(&stand->documents.requests);
    pass_seconds(stand, 24);
    assert_int_equal(atomic_load(&stand->documents.requests), before);
    pass_seconds(stand, 6);
    assert_string_equal(wait_for_end(stand), "done t 2 2 0 0 0 false");
    assert_int_equal(written(stand, 0), ORDERS_MAX);
    assert_string_equal(query(stand->fixture, "SELECT concat_ws(' ', verified_missing, missing,"
                                              " fault IS NULL, verified_full_at IS NOT NULL)"
                                              " FROM search_index"),
                        "2 0.0002 t t");

    /* A scheduler by itself mends what is little. One document cannot be. */
    atomic_store(&stand->documents.refused, 2);
    ask(stand, "verify", "{\"full\":true,\"repair\":\"within_limits\"}");
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 2 2 0 0 1 false");
    assert_string_equal(query(stand->fixture, "SELECT result #>> '{refused,count}' FROM " LAST),
                        "1");
    assert_int_equal(atomic_load(&stand->documents.written[1]), 1);
    assert_int_equal(written(stand, 0), ORDERS_MAX - 1);
    stop(stand);
}

/* What is more than little waits for a person. */
static void test_limit(void **state)
{
    struct stand *stand = start(*state, 10000, 1002);
    ask(stand, "verify", "{\"full\":true,\"repair\":\"within_limits\"}");
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 1001 100 0 0 0 false");
    assert_int_equal(written(stand, 0), ORDERS_MAX);
    atomic_store(&stand->documents.present[1], true);
    ask(stand, "verify", "{\"full\":true,\"repair\":\"within_limits\"}");
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 1000 100 0 0 1000 false");
    assert_int_equal(written(stand, 1), 1000);
    stop(stand);
}

/* More than fits is told by hours, or repaired in rounds. */
static void test_does_not_fit(void **state)
{
    struct stand *stand = start(*state, ORDERS_MAX, ORDERS_MAX + 1);
    ask(stand, "verify", "{\"full\":true,\"repair\":\"within_limits\"}");
    wait_until(is(stand, "SELECT done >= 204000 FROM " LAST), turn(stand));
    for (int i = 0; i < 50; i++)
        turn(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 105000 100 0 0 0 true");
    assert_int_equal(written(stand, 0), ORDERS_MAX);
    assert_string_equal(
        query(stand->fixture, "SELECT fault FROM search_index"),
        "search lacks 105000 of 105000 orders and shows 0 wrongly. Unless somebody wants that: "
        "orderctl verify --full --repair");

    ask(stand, "repair", "{\"full\":true}");
    wait_until(is(stand, "SELECT done >= 204000 FROM " LAST), turn(stand));
    pass_seconds(stand, 30);
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 105000 100 0 0 105000 false");
    assert_int_equal(written(stand, 1), ORDERS_MAX);
    assert_string_equal(query(stand->fixture, "SELECT concat_ws(' ', verified_missing, missing,"
                                              " fault) FROM search_index"),
                        "0");
    stop(stand);
}

/* A scheduler that takes over goes on with the same time span. */
static void test_goes_on(void **state)
{
    struct stand *stand = start(*state, 10000, 3);
    ask(stand, "repair", "{\"full\":true,\"fields\":true}");
    wait_for_pause(stand);
    job_runner_free(stand->runner);
    execute(stand->fixture, "UPDATE jobs SET lease = now(), checkpoint = jsonb_set("
                            "checkpoint::jsonb, '{result,to}', '\"2020-01-01T01:00:00Z\"')::text");
    start_runner(stand);
    wait_until(is(stand, "SELECT total < 10000 FROM " LAST), turn(stand));
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 2 2 0 0 2 false");
    assert_string_equal(query(stand->fixture, "SELECT result->>'orders' FROM " LAST), "4999");
    stop(stand);
}

/* All orders are also those that are dated in the future, but for the hour that comes: its orders
 * are on their way. */
static void test_dated_in_the_future(void **state)
{
    struct stand *stand = start(*state, 10, 1);
    atomic_store(&stand->documents.extra, true);
    execute(stand->fixture,
            "INSERT INTO orders VALUES"
            " ('0000000b-0000-4000-8000-000000000000', 'order', 1, '2150-02-01 00:30:00Z'),"
            " ('0000000c-0000-4000-8000-000000000000', 'order', 1, now() + interval '1 min'),"
            " ('0000000d-0000-4000-8000-000000000000', 'order', 1, now() + interval '3 h')");
    ask(stand, "verify", "{\"full\":true}");
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 2 2 1 0 0 false");
    assert_string_equal(query(stand->fixture,
                              "SELECT concat_ws(' ', result->'missing'->'ids',"
                              " result->'extra'->'ids', result->'orders') FROM " LAST),
                        "[\"0000000b-0000-4000-8000-000000000000\","
                        " \"0000000d-0000-4000-8000-000000000000\"] [\"" EXTRA_ID "\"] 12");
    ask(stand, "verify", "{}");
    assert_string_equal(wait_for_end(stand), "done t 0 0 0 0 0 false");
    stop(stand);
}

/* Counted is what was written before, also when a search does not find it so yet. */
static void test_refreshes(void **state)
{
    struct stand *stand = start(*state, 10, 1);
    atomic_store(&stand->documents.present[5], false);
    atomic_store(&stand->documents.gone, 5);
    ask(stand, "verify", "{\"full\":true}");
    wait_for_pause(stand);
    pass_seconds(stand, 30);
    assert_string_equal(wait_for_end(stand), "done t 1 1 0 0 0 false");
    assert_int_equal(atomic_load(&stand->documents.refreshes), 1);

    /* Without the privilege it is compared as a search finds it. */
    atomic_store(&stand->documents.refuses_refresh, true);
    atomic_store(&stand->documents.gone, 5);
    ask(stand, "verify", "{\"full\":true}");
    assert_string_equal(wait_for_end(stand), "done t 0 0 0 0 0 false");
    assert_int_equal(atomic_load(&stand->documents.refreshes), 2);
    stop(stand);
}

/* One letter has died, and a document has no order. A scheduler by itself mends what is little, and
 * neither it nor a repair deletes anything unless that is asked for. */
static void test_dead_and_extra(void **state)
{
    struct stand *stand = start(*state, 10, 1);
    atomic_store(&stand->documents.present[1], false);
    atomic_store(&stand->documents.extra, true);
    execute(stand->fixture,
            "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body,"
            " body_bytes, properties, digest, died_at) SELECT 'q', 'test', 'test', 'index', 3,"
            " '00000001-0000-4000-8000-000000000000', '', 0, '', '', now()");
    static const struct {
        const char *kind, *parameters, *result;
    } jobs[] = {
        {"verify", "{\"full\":true}", "0 1 1 0 0"},
        {"verify", "{\"full\":true,\"repair\":\"within_limits\"}", "0 1 1 1 0"},
        {"repair", "{\"full\":true}", "0 0 1 0 0"},
        {"repair", "{\"full\":true,\"delete_extra\":true}", "0 0 1 0 1"},
    };
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        assert_true(atomic_load(&stand->documents.extra));
        ask(stand, jobs[i].kind, jobs[i].parameters);
        wait_for_pause(stand);
        pass_seconds(stand, 30);
        (void)wait_for_end(stand);
        assert_string_equal(query(stand->fixture,
                                  "SELECT concat_ws(' ', result->'missing'->>'count',"
                                  " result->'dead_at_index'->>'count', result->'extra'->>'count',"
                                  " result->>'repaired', result->>'deleted') FROM " LAST),
                            jobs[i].result);
        assert_int_equal(atomic_load(&stand->documents.written[1]), i == 0 ? 0 : 1);
    }
    assert_false(atomic_load(&stand->documents.extra));
    assert_int_equal(written(stand, 0), ORDERS_MAX - 1);
    stop(stand);
}

static void test_another_deployment(void **state)
{
    struct stand *stand = start(*state, 10, 1);
    atomic_store(&stand->documents.another, true);
    ask(stand, "repair", "{\"full\":true}");
    const char *end = wait_for_end(stand);
    assert_non_null(strstr(end, "failed"));
    assert_non_null(strstr(end, "belongs to the deployment not this one, and this is "));
    stop(stand);
}

/* The ledger of the daily sales is compared with the same orders, and mended. */
static void test_ledger(void **state)
{
    static const char drift_sql[] =
        "SELECT concat(result->'sales_ledger'->>'days', ' ', result->'sales_ledger'->>'orders')"
        " FROM (SELECT * FROM jobs WHERE kind = 'verify' ORDER BY id DESC LIMIT 1) AS last";
    static const char ended_sql[] =
        "SELECT bool_and(finished IS NOT NULL) FROM jobs WHERE kind = 'verify'";
    static const char kept_sql[] = "SELECT sum(orders) FROM sales_ledger";
    struct stand *stand = start(*state, 10, 1);
    stand->context.ledger = ledger_task_new(stand->fixture->loop, stand->fixture->dsn);
    wait_until(is(stand, "SELECT filled_at IS NOT NULL FROM sales_ledger_state"), turn(stand));
    assert_string_equal(query(stand->fixture, kept_sql), "10");
    execute(stand->fixture, "DELETE FROM sales_ledger"); /* of 2020: not of the last 7 days */
    ask(stand, "verify", "{}");
    wait_until(is(stand, ended_sql), turn(stand));
    assert_string_equal(query(stand->fixture, drift_sql), "0 0");
    ask(stand, "verify", "{\"full\":true}");
    wait_until(is(stand, ended_sql), turn(stand));
    assert_string_equal(query(stand->fixture, drift_sql), "1 10");
    assert_string_equal(query(stand->fixture, kept_sql), "10");
    job_runner_free(stand->runner);
    stand->runner = NULL;
    ledger_task_free(stand->context.ledger);
    stop(stand);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_settles),
        DATABASE_TEST(test_limit),
        DATABASE_TEST(test_does_not_fit),
        DATABASE_TEST(test_goes_on),
        DATABASE_TEST(test_dated_in_the_future),
        DATABASE_TEST(test_refreshes),
        DATABASE_TEST(test_dead_and_extra),
        DATABASE_TEST(test_another_deployment),
        DATABASE_TEST(test_ledger),
    };
    int failures = cmocka_run_group_tests_name("verify", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
