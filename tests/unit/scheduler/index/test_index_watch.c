/* The watch over the search index, with a real PostgreSQL, a fake Elasticsearch and the test's own
 * clock. */
#include "services/base/clock.h"
#include "services/runtime/health.h"
#include "services/scheduler/index/index_watch.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/metric_now.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>

#define DEPLOYMENT "11111111-2222-4333-8444-555555555555"
#define ANOTHER "99999999-2222-4333-8444-555555555555"
#define REFILL "repair {\"refill\": true}"

struct stand {
    struct fixture *fixture;
    struct http_peer *peer;
    struct index_watch *watch;
    const struct cron *verify, *verify_full; /* or NULL */
    /* What the fake one has, and what it was asked. */
    atomic_bool up, exists, has_deployment, is_foreign, refuses_statistics, lacks_a_shard,
        is_silent;
    atomic_int identity, documents, deleted;
    atomic_uint looks, claims, statistics, counts;
    char claim[200]; /* read when no request is under way */
};

/* ---- the fake Elasticsearch ---- */

static int look(struct stand *stand, char *body, size_t size)
{
    atomic_fetch_add(&stand->looks, 1);
    while (atomic_load(&stand->is_silent))
        thrd_yield();
    if (!atomic_load(&stand->exists)) {
        snprintf(body, size, "{\"error\":{\"type\":\"index_not_found_exception\"}}");
        return 404;
    }
    snprintf(body, size,
             "{\"orders-000001\":{\"aliases\":{\"orders\":{}},\"mappings\":{\"_meta\":{\"owner\":"
             "\"us\"%s},\"properties\":{\"product_name\":{\"type\":\"text\"}}},"
             "\"settings\":{\"index\":{\"uuid\":\"index-%d\"}}}}",
             !atomic_load(&stand->has_deployment) ? ""
             : atomic_load(&stand->is_foreign)    ? ",\"deployment\":\"" ANOTHER "\""
                                                  : ",\"deployment\":\"" DEPLOYMENT "\"",
             atomic_load(&stand->identity));
    return 200;
}

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct stand *stand = arg;
    if (!atomic_load(&stand->up))
        return 503;
    if (strncmp(request, "GET /orders?", 12) == 0)
        return look(stand, body, size);
    if (strncmp(request, "PUT /orders-000001/_mapping ", 28) == 0) {
        snprintf(stand->claim, sizeof stand->claim, "%s", strstr(request, "\r\n\r\n") + 4);
        atomic_store(&stand->has_deployment, true);
        atomic_fetch_add(&stand->claims, 1);
        return 200;
    }
    if (strncmp(request, "GET /orders/_stats/docs?", 24) == 0) {
        atomic_fetch_add(&stand->statistics, 1);
        snprintf(body, size, "{\"_all\":{\"primaries\":{\"docs\":{\"count\":%d,\"deleted\":%d}}}}",
                 atomic_load(&stand->documents), atomic_load(&stand->deleted));
        if (atomic_load(&stand->refuses_statistics))
            snprintf(body, size, "{\"error\":{\"type\":\"security_exception\"}}");
        return atomic_load(&stand->refuses_statistics) ? 403 : 200;
    }
    if (strncmp(request, "GET /orders/_count ", 19) == 0) {
        atomic_fetch_add(&stand->counts, 1);
        snprintf(body, size, "{\"count\":%d,\"_shards\":{\"failed\":%d}}",
                 atomic_load(&stand->documents), atomic_load(&stand->lacks_a_shard) ? 1 : 0);
        return 200;
    }
    return 400;
}

/* ---- the stand ---- */

static void on_state(void *arg, bool up, const char *reason)
{
    (void)arg, (void)up, (void)reason;
}

static void pass(struct stand *stand)
{
    test_clock_advance(100);
    run_for(stand->fixture, 5);
}

/* Let the watch look once more, and do what follows from it. */
static void look_again(struct stand *stand)
{
    unsigned looks = atomic_load(&stand->looks);
    wait_until(atomic_load(&stand->looks) > looks, pass(stand));
    for (int i = 0; i < 8; i++)
        pass(stand);
}

static void watch_without_waiting(struct stand *stand, bool repair, const char *dsn)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)http_peer_port(stand->peer));
    stand->watch = index_watch_new(
        stand->fixture->loop,
        &(struct index_watch_options){.dsn = dsn,
                                      .server = &(struct elasticsearch_options){.url = url},
                                      .index = "orders",
                                      .repair = repair,
                                      .verify = stand->verify,
                                      .verify_full = stand->verify_full,
                                      .on_state = on_state});
}

static void watch(struct stand *stand, bool repair)
{
    watch_without_waiting(stand, repair, stand->fixture->dsn);
    wait_until(index_watch_up(stand->watch), pass(stand));
}

/* An index of four documents, and as many orders. */
static void prepare(struct stand *stand, struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture); /* installs the schema */
    connection_close(&connection);
    execute(fixture, "UPDATE search_index SET deployment = '" DEPLOYMENT "'");
    execute(fixture, "TRUNCATE orders; INSERT INTO orders SELECT gen_random_uuid(), 'chair', 1,"
                     " now() FROM generate_series(1, 4)");
    *stand = (struct stand){.fixture = fixture};
    atomic_store(&stand->up, true);
    atomic_store(&stand->exists, true);
    atomic_store(&stand->has_deployment, true);
    atomic_store(&stand->identity, 1);
    atomic_store(&stand->documents, 4);
    stand->peer = http_peer_new_answering(serve, stand);
}

static void start(struct stand *stand, struct fixture *fixture, bool repair)
{
    prepare(stand, fixture);
    watch(stand, repair);
}

static void stop(struct stand *stand)
{
    index_watch_free(stand->watch);
    http_peer_free(stand->peer);
}

static const char *row(struct stand *stand)
{
    return query(stand->fixture, "SELECT concat_ws(' ', coalesce(identity, 'none'), documents,"
                                 " round(missing::numeric, 2), fault) FROM search_index");
}

static const char *jobs(struct stand *stand)
{
    return query(stand->fixture, "SELECT coalesce(string_agg(concat_ws(' ', kind, parameters), ', '"
                                 " ORDER BY id), '') FROM jobs WHERE finished IS NULL");
}

static bool is_up(const char *dependency)
{
    char name[56];
    snprintf(name, sizeof name, "dependency_up{dependency=\"%s\"}", dependency);
    return metric_now(name) == 1;
}

static void assert_reason(const char *words)
{
    size_t len;
    char *text = health_render(HEALTH_REASONS, &len);
    if (strstr(text, words) == NULL)
        fail_msg("not \"%s\" in %s", words, text);
    free(text);
}

/* ---- tests ---- */

/* What is seen first is written down. The index is told whose it is, and keeps what else it says.
 */
static void test_the_first_look(void **state)
{
    struct stand stand;
    prepare(&stand, *state);
    atomic_store(&stand.has_deployment, false);
    watch(&stand, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    assert_int_equal(atomic_load(&stand.claims), 1);
    assert_string_equal(stand.claim,
                        "{\"_meta\":{\"owner\":\"us\",\"deployment\":\"" DEPLOYMENT "\"}}");
    assert_true(is_up("search_index") && is_up("elasticsearch"));
    assert_string_equal(jobs(&stand), "");
    wait_until(metric_now("search_index_documents") == 4, pass(&stand));
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.claims), 1);
    stop(&stand);
}

/* That look can tell nothing of the index; the next one does, at once. */
static void test_postgresql_comes_during_a_look(void **state)
{
    struct stand stand;
    prepare(&stand, *state);
    atomic_store(&stand.is_silent, true);
    watch(&stand, true);
    wait_until(atomic_load(&stand.looks) == 1, pass(&stand));
    int64_t begin_ms = clock_monotonic_ms();
    atomic_store(&stand.is_silent, false);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    assert_true(clock_monotonic_ms() - begin_ms < 5000);
    stop(&stand);
}

/* An index that nobody searches is looked at each 10 s, and not searched: also while it grows. */
static void test_an_idle_index(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    unsigned looks = atomic_load(&stand.looks), counts = atomic_load(&stand.counts);
    test_clock_pass(9000, event_loop_turn(stand.fixture->loop, 0));
    assert_int_equal(atomic_load(&stand.looks), looks);
    look_again(&stand);
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts);
    atomic_store(&stand.documents, 5);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 5");
    atomic_store(&stand.documents, 7);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 7");
    assert_int_equal(atomic_load(&stand.counts), counts);
    stop(&stand);
}

/* Another scheduler has counted more than the statistics of a shard know that is not refreshed. */
static void test_statistics_that_are_behind(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    unsigned counts = atomic_load(&stand.counts);
    execute(stand.fixture, "UPDATE search_index SET documents = 9");
    atomic_store(&stand.documents, 6);
    look_again(&stand);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 9");
    assert_int_equal(atomic_load(&stand.counts), counts);
    assert_string_equal(jobs(&stand), "");
    stop(&stand);
}

/* As many as before, and some are deleted: their places may have been taken meanwhile. */
static void test_deleted_documents(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    unsigned counts = atomic_load(&stand.counts);
    atomic_store(&stand.deleted, 2);
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts + 1);
    atomic_store(&stand.deleted, 0); /* they are merged away */
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts + 1);
    atomic_store(&stand.deleted, 1);
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts + 2);
    stop(&stand);
}

static void test_another_index(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.identity, 2);
    atomic_store(&stand.documents, 1);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 4"); /* one look is not enough */
    look_again(&stand);
    assert_string_equal(row(&stand), "index-2 1 0.75");
    assert_string_equal(jobs(&stand), REFILL);
    wait_until(!is_up("search_index"), pass(&stand));
    assert_true(metric_now("search_index_missing_ratio") == 0.75);
    assert_reason("search lacks about 75.00 % of the orders");

    execute(*state, "UPDATE search_index SET missing = NULL; UPDATE jobs SET finished = now()");
    wait_until(is_up("search_index"), pass(&stand));
    look_again(&stand);
    assert_string_equal(row(&stand), "index-2 1");
    stop(&stand);
}

/* It happened while no scheduler ran. */
static void test_another_index_at_the_start(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    index_watch_free(stand.watch);
    atomic_store(&stand.identity, 2);
    atomic_store(&stand.documents, 0);
    watch(&stand, true);
    wait_until(strcmp(row(&stand), "index-2 0 1.00") == 0, pass(&stand));
    assert_string_equal(jobs(&stand), REFILL);
    stop(&stand);
}

static void test_a_moment_without_an_index(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.exists, false);
    look_again(&stand);
    atomic_store(&stand.exists, true);
    look_again(&stand);
    atomic_store(&stand.exists, false);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 4");
    look_again(&stand);
    assert_string_equal(row(&stand), " 0 1.00");
    assert_string_equal(jobs(&stand), ""); /* what could be filled? */
    unsigned looks = atomic_load(&stand.looks);
    test_clock_pass(2500, event_loop_turn(stand.fixture->loop, 0));
    wait_until(atomic_load(&stand.looks) > looks + 1, pass(&stand)); /* each second */
    atomic_store(&stand.documents, 0);
    atomic_store(&stand.identity, 2);
    atomic_store(&stand.exists, true);
    wait_until(strcmp(row(&stand), "index-2 0 1.00") == 0, pass(&stand));
    assert_string_equal(jobs(&stand), REFILL);
    stop(&stand);
}

static void test_it_is_only_told(void **state)
{
    struct stand stand;
    start(&stand, *state, false);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.identity, 2);
    atomic_store(&stand.documents, 0);
    look_again(&stand);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-2 0 1.00 the index orders-000001 is another one than "
                                     "before, and INDEX_REPAIR is off: orderctl reindex fills it");
    assert_string_equal(jobs(&stand), "");
    wait_until(!is_up("search_index"), pass(&stand));
    assert_reason("INDEX_REPAIR is off: orderctl reindex fills it");
    assert_true(metric_now("search_index_fault") == 1);
    stop(&stand);
}

static void test_fewer_documents(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.documents, 3);
    atomic_store(&stand.lacks_a_shard, true);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 4"); /* the others are not gone for that */
    assert_false(is_up("elasticsearch"));
    atomic_store(&stand.lacks_a_shard, false);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 3");
    assert_string_equal(jobs(&stand), "verify {\"full\": true, \"repair\": \"within_limits\"}");
    assert_true(is_up("elasticsearch") && is_up("search_index"));
    stop(&stand);
}

static void test_the_index_of_another_deployment(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.is_foreign, true);
    atomic_store(&stand.identity, 2);
    look_again(&stand);
    look_again(&stand);
    assert_string_equal(row(&stand), "index-1 4");
    assert_string_equal(jobs(&stand), "");
    assert_int_equal(atomic_load(&stand.claims), 0);
    wait_until(!is_up("search_index"), pass(&stand));
    assert_reason("the index orders-000001 belongs to the deployment " ANOTHER);
    atomic_store(&stand.is_foreign, false);
    atomic_store(&stand.identity, 1);
    look_again(&stand);
    wait_until(is_up("search_index"), pass(&stand));
    stop(&stand);
}

static void test_without_the_privilege_to_monitor(void **state)
{
    struct stand stand;
    prepare(&stand, *state);
    atomic_store(&stand.refuses_statistics, true);
    watch(&stand, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    unsigned counts = atomic_load(&stand.counts);
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts + 1);
    assert_int_equal(atomic_load(&stand.statistics), 1);
    assert_true(is_up("elasticsearch"));

    atomic_store(&stand.refuses_statistics, false); /* it is granted: seen within the hour */
    test_clock_advance(60 * 60 * 1000);
    wait_until(atomic_load(&stand.statistics) > 1, pass(&stand));
    counts = atomic_load(&stand.counts);
    look_again(&stand);
    look_again(&stand);
    assert_int_equal(atomic_load(&stand.counts), counts);
    stop(&stand);
}

static void test_a_refill_that_failed(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    execute(*state, "UPDATE search_index SET missing = 0.5;"
                    "INSERT INTO jobs (kind, parameters, automatic, state, finished) VALUES"
                    " ('repair', '{\"refill\":true}', true, 'failed', now())");
    look_again(&stand);
    assert_string_equal(jobs(&stand), "");
    execute(*state, "UPDATE jobs SET finished = now() - interval '61 s'");
    look_again(&stand);
    look_again(&stand);
    assert_string_equal(jobs(&stand), REFILL);
    execute(*state, "UPDATE jobs SET finished = now() - interval '61 s', state = 'canceled'");
    look_again(&stand);
    assert_string_equal(jobs(&stand), ""); /* somebody wants it so */
    stop(&stand);
}

/* What was missed is done at the start, by one of two schedulers; the larger one serves both. Not
 * before it is known whose the index is. */
static void test_schedules(void **state)
{
    struct stand stand, second;
    struct cron hourly;
    struct error err;
    assert_int_equal(cron_parse("@every 1h", &hourly, &err), 0);
    prepare(&stand, *state);
    stand.verify = &hourly;
    atomic_store(&stand.exists, false);
    watch(&stand, true);
    look_again(&stand);
    assert_string_equal(jobs(&stand), "");
    atomic_store(&stand.exists, true);
    look_again(&stand);
    wait_until(strcmp(jobs(&stand), "") != 0, pass(&stand));
    assert_string_equal(jobs(&stand), "verify {\"full\": false, \"repair\": \"within_limits\"}");
    stop(&stand);

    execute(*state, "UPDATE jobs SET finished = now(); UPDATE search_index SET verify_tick = NULL");
    prepare(&stand, *state);
    second = stand;
    stand.verify = stand.verify_full = second.verify = second.verify_full = &hourly;
    watch(&stand, false);
    watch(&second, false);
    wait_until(strcmp(jobs(&stand), "") != 0, pass(&stand));
    look_again(&stand);
    look_again(&stand);
    assert_string_equal(jobs(&stand), "verify {\"full\": true}");
    index_watch_free(second.watch);
    stop(&stand);
}

static void test_elasticsearch_is_away(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    atomic_store(&stand.up, false);
    wait_until(!is_up("elasticsearch"), pass(&stand));
    assert_true(is_up("search_index"));
    atomic_store(&stand.up, true);
    for (int i = 0; i < 20 && !is_up("elasticsearch"); i++)
        pass(&stand); /* within 2 s */
    wait_until(is_up("elasticsearch"), event_loop_turn(stand.fixture->loop, 5));
    stop(&stand);
}

/* By whoever thought that it was of no use. */
static void test_the_row_is_gone(void **state)
{
    struct stand stand;
    start(&stand, *state, true);
    wait_until(strcmp(row(&stand), "index-1 4") == 0, pass(&stand));
    execute(*state, "DELETE FROM search_index");
    wait_until(!is_up("search_index"), pass(&stand));
    assert_reason("the table search_index is empty");
    execute(*state, "INSERT INTO search_index DEFAULT VALUES");
    execute(*state, "UPDATE search_index SET deployment = '" DEPLOYMENT "'");
    wait_until(is_up("search_index"), pass(&stand));
    stop(&stand);
}

static void test_postgres_is_away(void **state)
{
    struct stand stand;
    prepare(&stand, *state);
    atomic_store(&stand.up, false);
    watch_without_waiting(&stand, true, "host=127.0.0.1 port=1 user=nobody dbname=none");
    wait_until(!is_up("elasticsearch") && !is_up("search_index"), pass(&stand));
    assert_reason("not known: ");
    atomic_store(&stand.up, true);
    wait_until(is_up("elasticsearch"), pass(&stand));
    assert_false(is_up("search_index"));
    stop(&stand);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_the_first_look),
        DATABASE_TEST(test_postgresql_comes_during_a_look),
        DATABASE_TEST(test_an_idle_index),
        DATABASE_TEST(test_another_index),
        DATABASE_TEST(test_another_index_at_the_start),
        DATABASE_TEST(test_a_moment_without_an_index),
        DATABASE_TEST(test_it_is_only_told),
        DATABASE_TEST(test_statistics_that_are_behind),
        DATABASE_TEST(test_deleted_documents),
        DATABASE_TEST(test_fewer_documents),
        DATABASE_TEST(test_the_index_of_another_deployment),
        DATABASE_TEST(test_without_the_privilege_to_monitor),
        DATABASE_TEST(test_a_refill_that_failed),
        DATABASE_TEST(test_schedules),
        DATABASE_TEST(test_elasticsearch_is_away),
        DATABASE_TEST(test_the_row_is_gone),
        DATABASE_TEST(test_postgres_is_away),
    };
    int failures = cmocka_run_group_tests_name("index watch", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
