#include "services/base/memory.h"
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDER "{\"product_name\":\"a\",\"amount\":1}"

static void send_raw(const char *request)
{
    http_exchange(fixture, request, strlen(request), &reply);
}

static void test_own_answers_of_h2o_are_problems(void **state)
{
    (void)state;
    send_raw("POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
    assert_problem(&reply, 413, "body_too_large");
    send_raw("POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n");
    assert_problem(&reply, 400, "malformed_request");
    send_raw("POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: tea\r\n\r\nx");
    assert_problem(&reply, 417, "expectation_failed");
}

static void test_sizes(void **state)
{
    (void)state;
    char *text = memory_new(400001);
    memset(text, 'a', 400000);
    char *request = memory_new(500000);

    sprintf(request, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: %.300000s\r\n\r\n", text);
    send_raw(request);
    assert_problem(&reply, 431, "headers_too_large");
    assert_true(reply.closed);
    sprintf(request, "GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: %.17000s\r\n\r\n", text);
    send_raw(request);
    assert_problem(&reply, 431, "headers_too_large");
    sprintf(request, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: %.16000s\r\n\r\n", text);
    send_raw(request);
    assert_int_equal(reply.status, 200);

    sprintf(request, "GET /%.300000s HTTP/1.1\r\nHost: x\r\n\r\n", text);
    send_raw(request);
    assert_problem(&reply, 414, "uri_too_long");
    sprintf(request, "GET /%.8192s HTTP/1.1\r\nHost: x\r\n\r\n", text);
    send_raw(request);
    assert_problem(&reply, 414, "uri_too_long");
    sprintf(request, "GET /%.8191s HTTP/1.1\r\nHost: x\r\n\r\n", text);
    send_raw(request);
    assert_problem(&reply, 404, "not_found");

    memset(text, ' ', 65537);
    text[65537] = '\0';
    http_request(fixture, "POST", "/api/orders", "", text, &reply);
    assert_problem(&reply, 413, "body_too_large");
    text[65536] = '\0';
    memcpy(text, ORDER, sizeof(ORDER) - 1);
    http_request(fixture, "POST", "/api/orders", "", text, &reply);
    assert_int_equal(reply.status, 202);
    free(text);
    free(request);
}

static void test_unknown_paths(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api",
                                        "/api/",
                                        "/api/orders/",
                                        "/api/ordersx",
                                        "/api/search/",
                                        "/api/orders/a/b",
                                        "/API/ORDERS",
                                        "/livez/",
                                        "//livez",
                                        "/api/../etc/passwd",
                                        "/%2e%2e/%2e%2e/etc",
                                        "/api/orders%00",
                                        "*",
                                        "livez",
                                        "example.org:443",
                                        "ftp://example.org/livez",
                                        "/%6detrics",
                                        "/livez%3f",
                                        "/livez/../metrics",
                                        "/./livez",
                                        "/livez/.",
                                        "/x/..%2fmetrics",
                                        "/api//search?q=a",
                                        "/api/orders/../search?q=a",
                                        "/api/orders/..",
                                        "/api/orders/.",
                                        "/api/orders/%30190a5b2-0000-7000-8000-000000000000",
                                        "/api/orders/..%2f..",
                                        "/api/orders/%00",
                                        "/livez#x",
                                        "http://example.org/%6civez",
                                        "http://example.org//livez",
                                        "http://example.org/x/../livez"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        http_request(fixture, "GET", paths[i], "", NULL, &reply);
        assert_true(reply.status == 404 || reply.status == 405);
        assert_string_equal(reply_header_value(&reply, "content-type"), "application/problem+json");
    }
}

static void test_absolute_form(void **state)
{
    (void)state;
    static const char *const targets[] = {"http://example.org/livez", "HTTP://x/livez",
                                          "https://x:443/livez?a", "http://[::1]:80/livez",
                                          "http://x/api/search?q=a"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        http_request(fixture, "GET", targets[i], "", NULL, &reply);
        assert_int_equal(reply.status, 200);
    }
    http_request(fixture, "GET", "http://x/api/search?q=%61%20b&size=7", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(fakes->term, "a b");
    assert_int_equal(fakes->size, 7);
    http_request(fixture, "POST", "http://x/api/orders", "", ORDER, &reply);
    assert_int_equal(reply.status, 202);
}

static void test_content_encoding(void **state)
{
    (void)state;
    static const char *const coded[] = {
        "Content-Encoding: gzip\r\n", "content-encoding: identity, gzip\r\n",
        "Content-Encoding: identity\r\nContent-Encoding: br\r\n", "Content-Encoding: x\r\n"};
    for (size_t i = 0; i < sizeof(coded) / sizeof(coded[0]); i++) {
        http_request(fixture, "POST", "/api/orders", coded[i], ORDER, &reply);
        assert_problem(&reply, 415, "unsupported_content_encoding");
        assert_string_equal(reply_header_value(&reply, "accept-encoding"), "identity");
        http_request(fixture, "POST", "/api/bulk-orders", coded[i], "{}", &reply);
        assert_problem(&reply, 415, "unsupported_content_encoding");
    }
    static const char *const plain[] = {"Content-Encoding: Identity \r\n", "Content-Encoding:\r\n"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        http_request(fixture, "POST", "/api/orders", plain[i], ORDER, &reply);
        assert_int_equal(reply.status, 202);
    }
    http_request(fixture, "GET", "/livez", coded[0], NULL, &reply);
    assert_int_equal(reply.status, 200); /* there is no body */
}

static void test_methods(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"GET", "/api/orders", "POST"},
        {"HEAD", "/api/orders", "POST"},
        {"OPTIONS", "/api/orders", "POST"},
        {"GET", "/api/bulk-orders", "POST"},
        {"GET", "/api/admin/refresh", "POST"},
        {"DELETE", "/api/orders/0190c1f0-1111-7222-8333-444455556666", "GET, HEAD"},
        {"POST", "/api/search?q=a", "GET, HEAD"},
        {"PUT", "/api/dashboard/sales", "GET, HEAD"},
        {"POST", "/livez", "GET, HEAD"},
        {"TRACE", "/api/search", "GET, HEAD"},
        {"BREW", "/readyz", "GET, HEAD"},
        {"get", "/metrics", "GET, HEAD"},
        {"PUT", "/api/admin/jobs", "GET, HEAD, POST"},
        {"GET", "/api/admin/dead-letters/replay", "POST"},
        {"TRACE", "/", "GET, HEAD"},
        {"TRACE", "/nothing", "GET, HEAD, POST"},
        {"CONNECT", "example.org:443", "GET, HEAD, POST"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http_request(fixture, cases[i].method, cases[i].path, "", NULL, &reply);
        if (strcmp(cases[i].method, "HEAD") == 0)
            assert_int_equal(reply.status, 405);
        else
            assert_problem(&reply, 405, "method_not_allowed");
        assert_string_equal(reply_header_value(&reply, "allow"), cases[i].allow);
    }
}

static void test_heads(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/search?q=a", "/api/dashboard/sales", "/livez",
                                        "/readyz", "/metrics"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        http_request(fixture, "GET", paths[i], "", NULL, &reply);
        int status = reply.status;
        assert_true(reply.body_len > 0);
        http_request(fixture, "HEAD", paths[i], "", NULL, &reply);
        assert_int_equal(reply.status, status);
        assert_int_equal(reply.body_len, 0);
    }
}

static void test_request_ids(void **state)
{
    (void)state;
    http_request(fixture, "GET", "/livez", "X-Request-Id: abc-123_X.y\r\n", NULL, &reply);
    assert_string_equal(reply_header_value(&reply, "x-request-id"), "abc-123_X.y");
    static const char *const harmful[] = {"X-Request-Id: a b\r\n", "X-Request-Id: <x>\r\n",
                                          "X-Request-Id: \r\n", "X-Request-Id: \xff\r\n"};
    char before[65] = "";
    for (size_t i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++) {
        http_request(fixture, "GET", "/livez", harmful[i], NULL, &reply);
        const char *id = reply_header_value(&reply, "x-request-id");
        assert_int_equal(strlen(id), 24);
        assert_int_equal(strspn(id, "0123456789abcdef"), 24);
        assert_string_not_equal(id, before);
        strcpy(before, id);
    }
}

static void test_no_server_header(void **state)
{
    (void)state;
    http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_null(reply_header_value(&reply, "server"));
}

static void test_no_http2(void **state)
{
    (void)state;
    send_raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_true(reply.status == 400 || reply.status == 0);
    http_request(fixture, "GET", "/livez",
                 "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                 "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
                 NULL, &reply);
    assert_int_equal(reply.status, 200);
}

/* Two requests on one connection, the second sent before the first is answered. */
static void test_pipelining(void **state)
{
    (void)state;
    int fd = http_connect(fixture);
    static const char requests[] = "GET /api/search?q=first HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_int_equal(send(fd, requests, sizeof(requests) - 1, 0), sizeof(requests) - 1);
    char text[4096];
    size_t used = 0;
    ssize_t got;
    while ((got = http_receive(fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    const char *first = strstr(text, "\"took\""), *second = strstr(text + 1, "HTTP/1.1 200");
    assert_true(first != NULL && second != NULL && first < second);
    close(fd);
}

static void test_client_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = http_send(fixture, "GET", "/api/search?q=a", "", NULL);
        const struct linger reset_now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_now, sizeof(reset_now));
        close(fd);
    }
    wait_until(fakes->searches == 20, usleep(1000));
    http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
}

/* More requests under way than there may be: the next is refused at once, but not those that tell
 * how the gateway is, or show the console. The slow ones are answered at their deadline, and all is
 * well again. */
static void test_overload(void **state)
{
    (void)state;
    fakes->store_mode = FAKE_SLOW;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    int fds[80];
    size_t count = 0;
    do { /* a search that is under way may have taken the place of a slow one */
        assert_true(count < 80);
        for (bool first = true; first || count < 50; first = false)
            fds[count++] = http_send(fixture, "GET", "/api/dashboard/sales", "", NULL);
        usleep(20000); /* else the search is often read first */
        http_request(fixture, "GET", "/api/search?q=a", "", NULL, &reply);
    } while (reply.status == 200);
    assert_problem(&reply, 503, "overloaded");
    static const char *const always[] = {"/livez", "/"};
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        http_request(fixture, "GET", always[i], "", NULL, &reply);
        assert_int_equal(reply.status, 200);
    }

    test_clock_advance(5500); /* 5 s, and 10 % of it at most */
    char text[1024];
    size_t deadlines = 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t got = http_receive(fds[i], text, sizeof(text) - 1);
        assert_true(got > 0);
        text[got] = '\0';
        deadlines += strstr(text, "deadline_exceeded") != NULL;
        close(fds[i]);
    }
    assert_int_equal(deadlines, 50);
    do {
        test_clock_advance(500);
        http_request(fixture, "GET", "/api/search?q=a", "", NULL, &reply);
    } while (reply.status == 503); /* until the slow answers have come and are thrown away */
    assert_int_equal(reply.status, 200);
}

static void test_connection_limit(void **state)
{
    (void)state;
    int fds[120]; /* more than the limit: connections of earlier tests may end meanwhile */
    for (size_t i = 0; i < 120; i++)
        fds[i] = http_connect(fixture);
    http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(reply.status, 200); /* one that was idle has gone for it */
    for (size_t i = 0; i < 120; i++) {
        close(fds[i]);
        fds[i] = http_send_raw(fixture, "GET /livez", 10);
    }
    http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_true(reply.status == 503 || reply.status == 0);
    for (size_t i = 0; i < 120; i++)
        close(fds[i]);
    wait_until(reply.status == 200, {
        usleep(1000);
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_own_answers_of_h2o_are_problems, reset),
        cmocka_unit_test_setup(test_sizes, reset),
        cmocka_unit_test_setup(test_unknown_paths, reset),
        cmocka_unit_test_setup(test_absolute_form, reset),
        cmocka_unit_test_setup(test_content_encoding, reset),
        cmocka_unit_test_setup(test_methods, reset),
        cmocka_unit_test_setup(test_heads, reset),
        cmocka_unit_test_setup(test_request_ids, reset),
        cmocka_unit_test_setup(test_no_server_header, reset),
        cmocka_unit_test_setup(test_no_http2, reset),
        cmocka_unit_test_setup(test_pipelining, reset),
        cmocka_unit_test_setup(test_client_gone, reset),
        cmocka_unit_test_setup(test_overload, reset),
        cmocka_unit_test_setup(test_connection_limit, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
