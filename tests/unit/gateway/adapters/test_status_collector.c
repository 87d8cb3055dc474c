/* Rounds and those who ask, with Elasticsearch's answers from this test and no PostgreSQL. */
#include "services/gateway/adapters/status_collector.h"
#include "services/runtime/health.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http_peer *peer;
static _Atomic int counts, count_status;
static const char *_Atomic count_body;

static int serve(void *arg, const char *request, char *body, size_t size)
{
    (void)arg;
    assert_true(strncmp(request, "GET /orders/_count ", 19) == 0);
    counts++;
    (void)snprintf(body, size, "%s", count_body);
    return count_status;
}

static struct health_check *redis;
static struct event_loop *loop;
static struct status_collector *collector;
static char url[64], dsn[128];
static unsigned told;
static json_t *last;

static void on_told(void *arg, const char *json, size_t len)
{
    (void)arg;
    told++;
    json_decref(last);
    last = json_loadb(json, len, 0, NULL);
    assert_non_null(last);
}

static int set_up(void **state)
{
    (void)state;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    redis = health_check("redis", HEALTH_DEGRADED);
    health_set(health_check("accepting_orders", HEALTH_REQUIRED), true, NULL);
    health_set(redis, true, NULL);
    peer = http_peer_new_answering(serve, NULL);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_peer_port(peer));
    (void)snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%u user=nobody dbname=none",
                   loopback_free_ports(1));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_peer_free(peer);
    curl_global_cleanup();
    return 0;
}

static int open_collector(void **state)
{
    (void)state;
    counts = 0;
    count_status = 200;
    count_body = "{\"count\":7}";
    told = 0;
    loop = event_loop_new();
    collector =
        status_collector_new(loop, &(struct status_collector_options){
                                       .admin_address = "127.0.0.1",
                                       .admin_port = 9105,
                                       .dsn = dsn,
                                       .queue = "order_queue",
                                       .elasticsearch = &(struct elasticsearch_options){.url = url},
                                       .index = "orders",
                                   });
    return 0;
}

static int close_collector(void **state)
{
    (void)state;
    status_collector_free(collector);
    event_loop_free(loop);
    json_decref(last);
    last = NULL;
    return 0;
}

/* Time passes no faster than the servers answer. */
static bool pass_until_told(unsigned count)
{
    for (int i = 0; i < 5000 && told < count; i++) {
        test_clock_advance(1);
        event_loop_turn(loop, 1);
    }
    return told == count;
}

static void ask(void)
{
    status_collector_ask(collector, on_told, NULL);
}

/* The first answer has rates, for which it waits for a second round. */
static void test_first_answer(void **state)
{
    (void)state;
    ask();
    ask();
    run_loop_until(loop, counts == 1);
    assert_int_equal(told, 0);
    assert_true(pass_until_told(2));
    assert_int_equal(counts, 2);
    assert_int_equal(json_integer_value(json_object_get(last, "documents")), 7);
    assert_true(json_is_null(json_object_get(last, "dead_letters")));
    /* Within the next second it is told at once, and nothing is asked. */
    ask();
    assert_int_equal(told, 3);
    assert_int_equal(counts, 2);
}

static const json_t *told_dependency(const char *name)
{
    size_t index;
    const json_t *dependency;
    json_array_foreach(
        json_object_get(last, "dependencies"), index,
        dependency) if (strcmp(json_string_value(json_object_get(dependency, "name")), name) ==
                        0) return dependency;
    return NULL;
}

static void test_dependencies(void **state)
{
    (void)state;
    ask();
    assert_true(pass_until_told(1));
    assert_string_equal(json_string_value(json_object_get(told_dependency("redis"), "status")),
                        "up");
    assert_null(told_dependency("accepting_orders"));
    (void)health_set(redis, false, "refused");
    test_clock_advance(3000); /* what was told is old */
    ask();
    assert_true(pass_until_told(2));
    const json_t *down = told_dependency("redis");
    assert_string_equal(json_string_value(json_object_get(down, "status")), "down");
    assert_string_equal(json_string_value(json_object_get(down, "reason")), "refused");
    (void)health_set(redis, true, NULL);
}

/* Who waits is told in time, also when nothing answers. */
static void test_patience(void **state)
{
    (void)state;
    count_status = 0; /* never answers */
    ask();
    run_loop_until(loop, counts == 1);
    test_clock_pass(1149, event_loop_turn(loop, 0));
    assert_int_equal(told, 0);
    test_clock_pass(2, event_loop_turn(loop, 0));
    assert_int_equal(told, 1);
    assert_true(json_is_null(json_object_get(last, "documents")));
    assert_true(json_is_false(json_object_get(last, "well")));
}

/* Rounds end some seconds after the last question. */
static void test_only_while_asked(void **state)
{
    (void)state;
    ask();
    for (int i = 0; i < 20000; i++) {
        test_clock_advance(1);
        event_loop_turn(loop, 0);
    }
    int after = counts;
    assert_in_range(after, 2, 7);
    test_clock_pass(5000, event_loop_turn(loop, 0));
    assert_int_equal(counts, after);
    /* After a pause the last answer is none: it waits for a round. */
    unsigned before = told;
    ask();
    assert_int_equal(told, before);
    run_loop_until(loop, told == before + 1);
    assert_int_equal(counts, after + 1);
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        int documents; /* -1: null */
    } cases[] = {{404, "{}", 0},   {200, "{\"count\":-1}", -1}, {200, "{\"count\":\"7\"}", -1},
                 {200, "[7]", -1}, {503, "{\"count\":7}", -1},  {200, "{\"count\":8}", 8}};
    ask();
    test_clock_pass(2000, event_loop_turn(loop, 0));
    run_loop_until(loop, told == 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        count_status = cases[i].status;
        count_body = cases[i].body;
        test_clock_advance(10000); /* what was told is no longer fresh */
        ask();
        unsigned before = told;
        run_loop_until(loop, told == before + 1);
        const json_t *documents = json_object_get(last, "documents");
        if (cases[i].documents == -1)
            assert_true(json_is_null(documents));
        else
            assert_int_equal(json_integer_value(documents), cases[i].documents);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_answer, open_collector, close_collector),
        cmocka_unit_test_setup_teardown(test_dependencies, open_collector, close_collector),
        cmocka_unit_test_setup_teardown(test_patience, open_collector, close_collector),
        cmocka_unit_test_setup_teardown(test_only_while_asked, open_collector, close_collector),
        cmocka_unit_test_setup_teardown(test_counts, open_collector, close_collector),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
