/* Which trace a request belongs to, and where it goes on: to the queue, to the outbox, and into the
 * answer when that is a problem. */
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ORDER "{\"product_name\":\"a\",\"amount\":1}"
#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT_ID "00f067aa0ba902b7"
#define TRACEPARENT "traceparent: 00-" TRACE_ID "-" PARENT_ID "-01\r\n"

static const char *post(const char *headers)
{
    http_request(fixture, "POST", "/api/orders", headers, ORDER, &reply);
    assert_int_equal(reply.status, 202);
    return fakes->published_trace.traceparent;
}

/* The gateway takes part in the trace: the trace's id with a parent id of its own. */
static void assert_taken_on(const char *traceparent)
{
    assert_memory_equal(traceparent, "00-" TRACE_ID "-", 36);
    assert_memory_not_equal(traceparent + 36, PARENT_ID, 16);
    assert_string_equal(traceparent + 52, "-01");
}

static void assert_begun(const char *traceparent)
{
    assert_int_equal(strlen(traceparent), TRACEPARENT_LEN);
    assert_memory_equal(traceparent, "00-", 3);
    assert_memory_not_equal(traceparent + 3, TRACE_ID, 32);
    assert_string_equal(traceparent + 52, "-00");
}

static void test_taken_on(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *tracestate;
    } cases[] = {
        {TRACEPARENT, ""},
        {"Traceparent:\t00-" TRACE_ID "-" PARENT_ID "-01 \r\n", ""},
        {"traceparent: cc-" TRACE_ID "-" PARENT_ID "-01-more\r\n", ""},
        {TRACEPARENT "tracestate: a=1\r\n", "a=1"},
        {"TraceState: a=1\r\n" TRACEPARENT, "a=1"},
        {TRACEPARENT "tracestate: a=1\r\ntracestate: b=2,c=3\r\ntracestate: d=4\r\n",
         "a=1,b=2,c=3,d=4"},
        {TRACEPARENT "tracestate: \r\ntracestate: b=2\r\n", ",b=2"}, /* empty members are fine */
        {TRACEPARENT "tracestate: \r\n", ""},
        {TRACEPARENT "tracestate: a\r\n", ""},
        {TRACEPARENT "tracestate: a=1\r\ntracestate: b\r\n", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_taken_on(post(cases[i].headers));
        assert_string_equal(fakes->published_trace.tracestate, cases[i].tracestate);
    }
}

static void test_begun(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "traceparent: \r\n",
        "traceparent: 00-" TRACE_ID "-" PARENT_ID "\r\n",
        "traceparent: 00-00000000000000000000000000000000-" PARENT_ID "-01\r\n",
        "traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT_ID "-01\r\n",
        "traceparent: ff-" TRACE_ID "-" PARENT_ID "-01\r\n",
        TRACEPARENT TRACEPARENT,
        "trace-parent: 00-" TRACE_ID "-" PARENT_ID "-01\r\n",
    };
    char before[TRACEPARENT_LEN + 1] = "";
    for (size_t i = 0; i < COUNT(cases); i++) {
        char headers[512];
        (void)snprintf(headers, sizeof headers, "%stracestate: a=1\r\n", cases[i]);
        assert_begun(post(headers));
        assert_string_equal(fakes->published_trace.tracestate, "");
        assert_string_not_equal(fakes->published_trace.traceparent, before);
        memcpy(before, fakes->published_trace.traceparent, sizeof before);
    }
}

/* A tracestate has 512 bytes at most, in however many lines. */
static void test_long_tracestate(void **state)
{
    (void)state;
    char headers[2048], value[252];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int more = 0; more < 2; more++) { /* 251 + 4 + 1 + 251 + 5 bytes, and one more */
        (void)snprintf(headers, sizeof headers,
                       TRACEPARENT "tracestate: abc=%s\r\ntracestate: %s=%s\r\n", value,
                       more ? "abcde" : "abcd", value);
        assert_taken_on(post(headers));
        assert_int_equal(strlen(fakes->published_trace.tracestate), more ? 0 : 512);
    }
    (void)snprintf(headers, sizeof headers, TRACEPARENT "tracestate: abc=%s,abc=%s,abc=%s\r\n",
                   value, value, value);
    assert_taken_on(post(headers));
    assert_string_equal(fakes->published_trace.tracestate, "");
}

static void test_bulk(void **state)
{
    (void)state;
    http_request(fixture, "POST", "/api/bulk-orders", TRACEPARENT "tracestate: a=1\r\n",
                 "{\"orders\":[" ORDER "," ORDER "]}", &reply);
    assert_int_equal(reply.status, 201);
    assert_taken_on(fakes->stored_trace.traceparent);
    assert_string_equal(fakes->stored_trace.tracestate, "a=1");
}

/* Problems name the trace, also those that libh2o answers by itself. */
static void test_problems(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /api/orders HTTP/1.1\r\nHost: x\r\n" TRACEPARENT "Content-Length: 2\r\n\r\n{}",
        "GET /nothing HTTP/1.1\r\nHost: x\r\n" TRACEPARENT "\r\n",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\n" TRACEPARENT "Content-Length: 99999999\r\n\r\n",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\n" TRACEPARENT
        "Transfer-Encoding: chunked\r\n\r\nxx\r\n",
    };
    for (size_t i = 0; i < COUNT(requests); i++) {
        http_exchange(fixture, requests[i], strlen(requests[i]), &reply);
        assert_true(reply.status >= 400);
        assert_non_null(strstr(reply.body, "\"trace_id\":\"" TRACE_ID "\""));
    }
    http_request(fixture, "GET", "/nothing", "", NULL, &reply);
    assert_problem(&reply, 404, "not_found"); /* this looks for a trace, too */
    assert_null(strstr(reply.body, TRACE_ID));

    fakes->queue_mode = FAKE_FAILS;
    fakes->queue_result = PUBLISH_UNKNOWN;
    http_request(fixture, "POST", "/api/orders", TRACEPARENT, ORDER, &reply);
    assert_problem(&reply, 503, "outcome_unknown");
    assert_non_null(strstr(reply.body, "\"trace_id\":\"" TRACE_ID "\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_taken_on, reset),
        cmocka_unit_test_setup(test_begun, reset),
        cmocka_unit_test_setup(test_long_tracestate, reset),
        cmocka_unit_test_setup(test_bulk, reset),
        cmocka_unit_test_setup(test_problems, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
