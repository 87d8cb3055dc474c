/* Whether searches find one order, asked of a server of this test that answers as it is told. */
#include "services/gateway/adapters/elasticsearch_search.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MISSING                                                                                    \
    "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no\"},\"status\":404}"

static struct http_peer *peer;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool several_indices; /* behind the alias: no GET by id is taken */
static int status;           /* of what is asked about an order; 0: no answer at all */
static const char *answer;
static char request[4096]; /* the last of these */

static void set_answer(int with_status, const char *body)
{
    pthread_mutex_lock(&mutex);
    status = with_status;
    answer = body;
    pthread_mutex_unlock(&mutex);
}

static int serve(void *arg, const char *text, char *body, size_t size)
{
    (void)arg;
    if (strstr(text, "/_field_caps") != NULL) { /* the probe */
        snprintf(body, size, "{\"indices\":[\"orders\"]}");
        return 200;
    }
    pthread_mutex_lock(&mutex);
    bool refused = several_indices && strstr(text, "/_doc/") != NULL;
    int code = refused ? 400 : status;
    snprintf(body, size, "%s", refused ? "{\"error\":{}}" : answer);
    snprintf(request, sizeof(request), "%s", text);
    pthread_mutex_unlock(&mutex);
    return code;
}

static struct event_loop *loop;
static struct order_search *port;
static bool up;
static unsigned changes;

static void on_state(void *arg, bool is_up, const char *reason)
{
    (void)arg, (void)reason;
    up = is_up;
    changes++;
}

#define turn_until(condition) run_loop_until(loop, condition)

static int set_up(void **state)
{
    (void)state;
    char url[64];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    peer = http_peer_new_answering(serve, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_peer_port(peer));
    loop = event_loop_new();
    changes = 0;
    port = elasticsearch_search_new(
        loop, &(struct elasticsearch_search_options){
                  .client = {.url = url, .max_in_flight = 3, .max_response_bytes = 4096},
                  .index = "orders",
                  .on_state = on_state});
    turn_until(changes == 1); /* the probe is over */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    elasticsearch_search_free(port);
    event_loop_free(loop);
    http_peer_free(peer);
    curl_global_cleanup();
    return 0;
}

static void on_document(void *arg, enum order_document document)
{
    *(int *)arg = (int)document;
}

/* One order. Nothing that is asked about one says how the server is. */
static void test_one_order(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum order_document document;
    } cases[] = {
        {200, "{\"found\":true}", ORDER_DOCUMENT_FOUND},
        {404, "{\"found\":false}", ORDER_DOCUMENT_ABSENT},
        {404, MISSING, ORDER_DOCUMENT_ABSENT},
        {200, "{\"found\":false}", ORDER_DOCUMENT_UNKNOWN},
        {404, "{\"found\":true}", ORDER_DOCUMENT_UNKNOWN},
        {404, "<html>", ORDER_DOCUMENT_UNKNOWN},
        {404, "{\"found\":", ORDER_DOCUMENT_UNKNOWN},
        {200, "", ORDER_DOCUMENT_UNKNOWN},
        {200, "[]", ORDER_DOCUMENT_UNKNOWN},
        {503, "{\"found\":true}", ORDER_DOCUMENT_UNKNOWN},
    };
    struct order_id id;
    assert_int_equal(order_id_parse("0190c1f0-1111-7222-8333-444455556666", 36, &id), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int document = -1;
        set_answer(cases[i].status, cases[i].body);
        assert_int_equal(port->has_document(port->self, &id, on_document, &document), 0);
        assert_int_equal(document, -1); /* never from inside the call */
        turn_until(document != -1);
        if (document != (int)cases[i].document)
            fail_msg("%d %s: %d", cases[i].status, cases[i].body, document);
    }
    static const char line[] = "GET /orders/_doc/0190c1f0-1111-7222-8333-444455556666"
                               "?realtime=false&_source=false&filter_path=found HTTP/1.1\r\n";
    assert_int_equal(strncmp(request, line, sizeof line - 1), 0);
    assert_int_equal(changes, 1);

    set_answer(0, ""); /* silence */
    int documents[4] = {-1, -1, -1, -1};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(port->has_document(port->self, &id, on_document, &documents[i]), 0);
    assert_int_equal(port->has_document(port->self, &id, on_document, &documents[3]), -1);
    test_clock_pass(ORDER_DOCUMENT_TIMEOUT_MS - 10, event_loop_turn(loop, 0));
    assert_int_equal(documents[0], -1);
    test_clock_pass(110, event_loop_turn(loop, 0));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(documents[i], ORDER_DOCUMENT_UNKNOWN);
    assert_int_equal(documents[3], -1);
    assert_true(up);
}

static void test_one_order_in_several_indices(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum order_document document;
    } cases[] = {
        {200, "{\"hits\":{\"total\":{\"value\":1,\"relation\":\"eq\"},\"hits\":[]}}",
         ORDER_DOCUMENT_FOUND},
        {200, "{\"hits\":{\"total\":{\"value\":0,\"relation\":\"eq\"},\"hits\":[]}}",
         ORDER_DOCUMENT_ABSENT},
        {200, "{\"hits\":{}}", ORDER_DOCUMENT_UNKNOWN},
        {503, "{\"hits\":{\"total\":{\"value\":1}}}", ORDER_DOCUMENT_UNKNOWN},
        {400, "{}", ORDER_DOCUMENT_UNKNOWN},
    };
    struct order_id id;
    assert_int_equal(order_id_parse("0190c1f0-1111-7222-8333-444455556666", 36, &id), 0);
    several_indices = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int document = -1;
        set_answer(cases[i].status, cases[i].body);
        assert_int_equal(port->has_document(port->self, &id, on_document, &document), 0);
        turn_until(document != -1);
        assert_int_equal(document, cases[i].document);
    }
    several_indices = false;
    assert_non_null(strstr(request, "{\"size\":0,\"query\":{\"ids\":{\"values\":["
                                    "\"0190c1f0-1111-7222-8333-444455556666\"]}}}"));
    assert_true(up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_order_in_several_indices, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
