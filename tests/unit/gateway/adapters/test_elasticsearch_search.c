/* The search against a server of this test that answers as it is told. */
#include "services/gateway/adapters/elasticsearch_search.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- the server: asked what can be searched it is well ---- */

static struct http_peer *peer;
static char url[64];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int status;       /* of searches; 0: no answer at all */
static int probe_status; /* of the probe */
static const char *search_answer, *probe_answer;
static char request[4096]; /* the last search */

#define FOUND "{\"took\":1,\"hits\":{\"hits\":[]}}"
#define PROBED "{\"indices\":[\"orders-000001\"]}"
#define MISSING                                                                                    \
    "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no\"},\"status\":404}"

static void set_answers(int search, const char *search_body, int probe, const char *probe_body)
{
    pthread_mutex_lock(&mutex);
    status = search;
    search_answer = search_body;
    probe_status = probe;
    probe_answer = probe_body;
    pthread_mutex_unlock(&mutex);
}

static int serve(void *arg, const char *text, char *body, size_t size)
{
    (void)arg;
    bool search = strstr(text, "_search") != NULL;
    if (!search) /* an index that is probed stays idle */
        assert_non_null(strstr(text, "GET /orders/_field_caps?"));
    pthread_mutex_lock(&mutex);
    int code = search ? status : probe_status;
    snprintf(body, size, "%s", search ? search_answer : probe_answer);
    if (search)
        snprintf(request, sizeof(request), "%s", text);
    pthread_mutex_unlock(&mutex);
    return code;
}

static int start_server(void **state)
{
    (void)state;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    peer = http_peer_new_answering(serve, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_peer_port(peer));
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_peer_free(peer);
    curl_global_cleanup();
    return 0;
}

/* ---- the search ---- */

static struct event_loop *loop;
static struct order_search *port;
static bool up;
static unsigned changes;
static char why[256]; /* it is down */
static struct byte_budget budget;

static void on_state(void *arg, bool is_up, const char *reason)
{
    (void)arg;
    up = is_up;
    changes++;
    assert_true(is_up == (reason == NULL));
    snprintf(why, sizeof(why), "%s", is_up ? "" : reason);
}

static void open_search(const char *at)
{
    loop = event_loop_new();
    up = false;
    changes = 0;
    budget.limit_bytes = 100;
    port = elasticsearch_search_new(
        loop, &(struct elasticsearch_search_options){.client = {.url = at,
                                                                .max_in_flight = 3,
                                                                .max_response_bytes = 4096,
                                                                .answers = &budget},
                                                     .index = "orders",
                                                     .on_state = on_state});
}

static int set_up(void **state)
{
    (void)state;
    set_answers(200, FOUND, 200, PROBED);
    open_search(url);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    elasticsearch_search_free(port);
    assert_int_equal(budget.used_bytes, 0);
    event_loop_free(loop);
    return 0;
}

#define turn_until(condition) run_loop_until(loop, condition)

struct seen {
    unsigned answers;
    enum order_search_status status;
    char body[256];
};

static void on_found(void *arg, enum order_search_status result,
                     const struct order_search_answer *answer)
{
    struct seen *seen = arg;
    seen->answers++;
    seen->status = result;
    assert_int_equal(result == ORDER_SEARCH_OK, answer != NULL);
    if (answer != NULL) {
        snprintf(seen->body, sizeof(seen->body), "%.*s", (int)answer->body_len, answer->body);
        assert_true(budget.used_bytes > 0 || answer->owner == NULL);
        answer->release(answer->owner);
    }
}

static int search(struct seen *seen)
{
    return port->search(port->self, "gaming \"laptop\"", 15, 20, 40, on_found, seen);
}

static struct seen search_answered(int with_status)
{
    pthread_mutex_lock(&mutex);
    status = with_status;
    pthread_mutex_unlock(&mutex);
    struct seen seen = {0};
    assert_int_equal(search(&seen), 0);
    assert_int_equal(seen.answers, 0); /* never from inside the call */
    turn_until(seen.answers == 1);
    return seen;
}

static void test_request_and_answer(void **state)
{
    (void)state;
    struct seen seen = search_answered(200);
    assert_int_equal(seen.status, ORDER_SEARCH_OK);
    assert_string_equal(seen.body, FOUND); /* unchanged */

    assert_int_equal(strncmp(request,
                             "POST /orders/_search?allow_partial_search_results=false HTTP/1.1\r\n",
                             66),
                     0);
    json_t *expected =
        json_pack("{s:{s:{s:s}}, s:i, s:i, s:b}", "query", "match", "product_name",
                  "gaming \"laptop\"", "size", 20, "from", 40, "track_total_hits", 1);
    json_t *body = json_loads(strstr(request, "\r\n\r\n") + 4, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(body, expected));
    json_decref(body);
    json_decref(expected);
}

static void test_errors(void **state)
{
    (void)state;
    static const int statuses[] = {400, 401, 404, 429, 500, 503};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        assert_int_equal(search_answered(statuses[i]).status, ORDER_SEARCH_FAILED);
    assert_int_equal(search_answered(200).status, ORDER_SEARCH_OK);
}

/* No order was indexed yet. */
static void test_no_index(void **state)
{
    (void)state;
    set_answers(404, MISSING, 404, MISSING);
    struct seen seen = search_answered(404);
    assert_int_equal(seen.status, ORDER_SEARCH_OK);
    assert_string_equal(seen.body,
                        "{\"took\":0,\"timed_out\":false,"
                        "\"_shards\":{\"total\":0,\"successful\":0,\"skipped\":0,\"failed\":0},"
                        "\"hits\":{\"total\":{\"value\":0,\"relation\":\"eq\"},\"max_score\":0.0,"
                        "\"hits\":[]}}");
    turn_until(changes == 1);
    assert_true(up);
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool good;
    } cases[] = {
        {FOUND, true},
        {" {\n \"took\" : 1,\n \"hits\" : {\n \"hits\" : [ ] } }\n", true},
        {"", false},
        {"{}", false},
        {"{", false},
        {"}", false},
        {"[]", false},
        {"null", false},
        {"<html>{\"hits\":{}}</html>", false},
        {"{\"hits\":{\"hits\":[", false},
        {"{\"hits\":{\"hits\":[]}} and more", false},
        {"{\"error\":{\"type\":\"x\",\"reason\":\"hits\"},\"status\":400}", false},
        {"{\"hits\"}", false},
        {"{\"hits\":1}", false},
        {"{\"hits\":}", false},
        {"{\"status\":\"green\"}", false},
    };
    turn_until(changes == 1); /* the probe is over */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_answers(200, cases[i].body, 200, PROBED);
        struct seen seen = search_answered(200);
        if ((seen.status == ORDER_SEARCH_OK) != cases[i].good || up != cases[i].good)
            fail_msg("%s", cases[i].body);
        if (cases[i].good)
            assert_string_equal(seen.body, cases[i].body);
        else
            assert_string_equal(why, "what it answers is not the answer to a search");
    }
}

/* That says nothing about the server. */
static void test_no_room(void **state)
{
    (void)state;
    turn_until(changes == 1); /* the probe is over */
    budget.limit_bytes = strlen(FOUND) - 1;
    assert_int_equal(search_answered(200).status, ORDER_SEARCH_NO_ROOM);
    assert_true(up);
    budget.limit_bytes = strlen(FOUND);
    assert_int_equal(search_answered(200).status, ORDER_SEARCH_OK);
    assert_int_equal(changes, 1);
}

static void test_timeout_and_limit(void **state)
{
    (void)state;
    turn_until(changes == 1); /* the probe is over */
    pthread_mutex_lock(&mutex);
    status = 0;
    pthread_mutex_unlock(&mutex);
    struct seen seen[4] = {{0}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(search(&seen[i]), 0);
    assert_int_equal(search(&seen[3]), -1);
    test_clock_pass(ORDER_SEARCH_TIMEOUT_MS - 10, event_loop_turn(loop, 0));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(seen[i].answers, 0);
    test_clock_pass(510, event_loop_turn(loop, 0));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(seen[i].answers, 1);
        assert_int_equal(seen[i].status, ORDER_SEARCH_TIMEOUT);
    }
    assert_int_equal(seen[3].answers, 0);
}

static void test_state_without_searches(void **state)
{
    (void)state;
    turn_until(changes == 1);
    assert_true(up);
}

/* The probe asks for what a search asks for, and no request is refused for the probe's content. */
static void test_state_by_probes(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *why; /* NULL: it is up */
    } cases[] = {
        {404, "<html>", "it answers with status 404: no reason given"},
        {200, PROBED, NULL},
        {400, "{\"error\":{\"type\":\"index_closed_exception\",\"reason\":\"closed\"}}",
         "it answers with status 400: index_closed_exception: closed"},
        {404, MISSING, NULL},
        {403, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}",
         "it answers with status 403: the privilege read is missing: security_exception: no"},
        {403, "{\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"read\"}}",
         "it answers with status 403: cluster_block_exception: read"},
        {200, "<html>", "what it answers is not the answer to a search"},
        {200, PROBED, NULL},
        {200, "{\"indices\":[]}", "no shard of the index answers"},
        {200, PROBED, NULL},
        {200, "{}", "no shard of the index answers"},
        {200, PROBED, NULL},
    };
    turn_until(changes == 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        changes = 0;
        set_answers(200, FOUND, cases[i].status, cases[i].body);
        test_clock_advance(5000);
        turn_until(changes == 1);
        assert_true(up == (cases[i].why == NULL));
        assert_string_equal(why, cases[i].why != NULL ? cases[i].why : "");
    }
}

/* Whoever notices it, a second later the probe looks whether the server is well. */
static void test_a_server_that_is_back_is_noticed(void **state)
{
    (void)state;
    turn_until(changes == 1);
    (void)search_answered(503);
    assert_false(up);
    test_clock_advance(1000);
    turn_until(up);
}

/* A search that is refused for itself or for its rate says nothing about the cluster. */
static void test_state_by_answers(void **state)
{
    (void)state;
    static const int refusals[] = {400, 429}, failures[] = {401, 403, 404, 500, 503};
    turn_until(changes == 1); /* the probe is over */
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        for (size_t j = 0; j < 2; j++)
            (void)search_answered(refusals[j]);
        assert_true(up);
        assert_int_equal(changes, 1);
        (void)search_answered(failures[i]);
        assert_false(up);
        assert_int_equal(changes, 2);
        (void)search_answered(429);
        assert_false(up);
        (void)search_answered(200);
        assert_true(up);
        changes = 1;
    }
}

static void test_unreachable(void **state)
{
    (void)state;
    open_search("http://127.0.0.1:1");
    turn_until(changes == 1);
    assert_false(up);
    assert_int_equal(search_answered(200).status, ORDER_SEARCH_FAILED);
    assert_false(up);
    tear_down(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request_and_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answers_that_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timeout_and_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state_without_searches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state_by_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state_by_probes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_server_that_is_back_is_noticed, set_up, tear_down),
        cmocka_unit_test(test_unreachable),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
