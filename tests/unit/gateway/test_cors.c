#include "services/gateway/cors.h"
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ORDER "{\"product_name\":\"a\",\"amount\":1}"
#define SHOP "https://shop.example"
#define ID "0190c1f0-1111-7222-8333-444455556666"
#define ASKS(method) "Access-Control-Request-Method: " method "\r\n"

static struct cors cors;

static void allow(const char *origins)
{
    struct error err;
    if (cors_parse(origins, &cors, &err) != 0)
        fail_msg("%s: %s", origins, err.message);
    http_fixture_settings(fixture)->cors = &cors;
    http_fixture_router(fixture)->admin = false;
}

static int forbid(void **state)
{
    http_fixture_settings(fixture)->cors = NULL;
    http_fixture_router(fixture)->admin = false;
    return reset(state);
}

static void assert_header(const char *name, const char *expected)
{
    const char *value = reply_header_value(&reply, name);
    if (expected == NULL)
        assert_null(value);
    else
        assert_non_null(value);
    if (expected != NULL)
        assert_string_equal(value, expected);
}

static void test_good_origins(void **state)
{
    (void)state;
    static const char *const good[] = {
        "*",
        SHOP,
        "http://localhost:3000",
        "https://a.example , http://127.0.0.1:8080,http://[::1]:3000",
        "http://a.example:443",
        "https://a.example:80",
        "https://xn--bcher-kva.example",
        "chrome-extension://abcdefghijklmnop",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        allow(good[i]);
}

static void test_bad_origins(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "canary",
        "null",
        "*,https://canary.example",
        "https://canary.example,*",
        "https://*.canary.example",
        "https://canary.example/",
        "https://canary.example/page",
        "https://canary.example,",
        ",",
        " ",
        "https://",
        "://canary",
        "1http://canary",
        "HTTPS://canary.example",
        "https://Canary.example",
        "https://canary.example:443",
        "http://canary.example:80",
        "https://canary.example:0",
        "https://canary.example:0443",
        "https://canary.example:65536",
        "https://canary.example:99999999999999999999",
        "https://canary.example:",
        "https://canary.example:https",
        "https://user@canary.example",
        "https://canary.example?",
        "https://\xc3\xbcr-canary.example",
        "https://[::1",
        "https://[::1]x",
        "https://[0:0:0:0:0:0:0:1]",
        "https://[canary]",
        "https://a.example https://canary.example",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = {""};
        if (cors_validate(bad[i], &err) != -1)
            fail_msg("%s was taken", bad[i]);
        assert_true(err.message[0] != '\0');
        assert_null(strstr(err.message, "canary"));
    }
}

static void test_none_by_default(void **state)
{
    (void)state;
    http_request(fixture, "GET", "/livez", "Origin: " SHOP "\r\n", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_header("access-control-allow-origin", NULL);
    assert_header("vary", NULL);
    http_request(fixture, "OPTIONS", "/api/orders", "Origin: " SHOP "\r\n" ASKS("POST"), NULL,
                 &reply);
    assert_problem(&reply, 405, "method_not_allowed");
    assert_header("access-control-allow-origin", NULL);
}

/* What a script of a listed origin may read, and of no other. Every answer says that it depends on
 * the origin. */
static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *allowed;
    } origins[] = {
        {"Origin: " SHOP "\r\n", SHOP},
        {"origin: http://[::1]:3000\r\n", "http://[::1]:3000"},
        {"Origin: https://shop.example.evil.example\r\n", NULL},
        {"Origin: http://shop.example\r\n", NULL},
        {"Origin: https://shop.example:444\r\n", NULL},
        {"Origin: HTTPS://shop.example\r\n", NULL},
        {"Origin: null\r\n", NULL},
        {"Origin:\r\n", NULL},
        {"Origin: " SHOP "\r\nOrigin: " SHOP "\r\n", NULL},
        {"", NULL},
    };
    static const struct {
        const char *method, *path, *more, *body;
        int status;
    } requests[] = {
        {"POST", "/api/orders", "", ORDER, 202},
        {"POST", "/api/orders", "", "{", 400},
        {"POST", "/api/orders", "", "{\"product_name\":\"\",\"amount\":1}", 422},
        {"POST", "/api/orders", "Content-Encoding: gzip\r\n", ORDER, 415},
        {"POST", "/api/orders", "Expect: tea\r\n", ORDER, 417},
        {"GET", "/api/search?q=a", "", NULL, 200},
        {"GET", "/api/nothing", "", NULL, 404},
        {"OPTIONS", "/api/nothing", ASKS("GET"), NULL, 404},
        {"DELETE", "/api/orders/" ID, "", NULL, 405},
        {"OPTIONS", "/api/orders", "", NULL, 405},
        {"TRACE", "/", "", NULL, 405},
        {"POST", "/api/admin/refresh", "", "", 401},
        {"GET", "/livez", "", NULL, 200},
    };
    allow(SHOP ", http://[::1]:3000");
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        for (size_t j = 0; j < sizeof(requests) / sizeof(requests[0]); j++) {
            char headers[256];
            snprintf(headers, sizeof(headers), "%s%s", origins[i].headers, requests[j].more);
            http_request(fixture, requests[j].method, requests[j].path, headers, requests[j].body,
                         &reply);
            assert_int_equal(reply.status, requests[j].status);
            assert_header("access-control-allow-origin", origins[i].allowed);
            assert_header("vary", "Origin");
            assert_int_equal(reply_header_value(&reply, "access-control-expose-headers") != NULL,
                             origins[i].allowed != NULL);
            assert_header("access-control-allow-credentials", NULL);
        }
    }
}

/* The answers that libh2o makes by itself. */
static void test_answers_of_h2o(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: " SHOP "\r\n"
        "Content-Length: 99999999\r\n\r\n",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: " SHOP "\r\n"
        "Transfer-Encoding: chunked\r\n\r\nxx\r\n",
    };
    allow(SHOP);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        http_exchange(fixture, requests[i], strlen(requests[i]), &reply);
        assert_true(reply.status == 413 || reply.status == 400);
        assert_header("access-control-allow-origin", SHOP);
        assert_header("vary", "Origin");
    }
}

static void test_everybody(void **state)
{
    (void)state;
    allow("*");
    static const char *const origins[] = {"Origin: https://any.example\r\n", "Origin: null\r\n",
                                          ""};
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
        http_request(fixture, "GET", "/api/nothing", origins[i], NULL, &reply);
        assert_header("access-control-allow-origin", "*");
        assert_header("vary", NULL); /* it depends on nothing */
    }
    http_request(fixture, "OPTIONS", "/api/orders", "Origin: null\r\n" ASKS("POST"), NULL, &reply);
    assert_int_equal(reply.status, 204);
    assert_header("access-control-allow-origin", "*");
}

static void test_preflights(void **state)
{
    (void)state;
    static const struct {
        const char *path, *methods;
    } routes[] = {
        {"/api/orders", "POST"},
        {"/api/orders/" ID, "GET, HEAD"},
        {"/api/search?q=a", "GET, HEAD"},
        {"/api/dashboard/sales", "GET, HEAD"},
        {"/api/admin/refresh", "POST"},
        {"/api/bulk-orders", "POST"},
        {"/livez", "GET, HEAD"},
        {"/readyz", "GET, HEAD"},
        {"/api/admin/jobs", "GET, HEAD, POST"},
    };
    allow(SHOP);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        http_request(fixture, "OPTIONS", routes[i].path,
                     "Origin: " SHOP
                     "\r\n" ASKS("POST") "Access-Control-Request-Headers: idempotency-key\r\n",
                     NULL, &reply);
        assert_int_equal(reply.status, 204);
        assert_false(reply.closed);
        assert_int_equal(reply.body_len, 0);
        assert_header("content-type", NULL);
        assert_header("access-control-allow-origin", SHOP);
        assert_header("access-control-allow-methods", routes[i].methods);
        assert_header("access-control-max-age", "600");
        assert_header("vary", "Origin");
        const char *headers = reply_header_value(&reply, "access-control-allow-headers");
        static const char *const expected[] = {"authorization", "content-type", "idempotency-key",
                                               "prefer",        "traceparent",  "x-operator"};
        for (size_t j = 0; j < sizeof(expected) / sizeof(expected[0]); j++)
            assert_non_null(strstr(headers, expected[j]));
    }
    http_request(fixture, "OPTIONS", "/api/orders",
                 "Origin: https://other.example\r\n" ASKS("POST"), NULL, &reply);
    assert_problem(&reply, 405, "method_not_allowed");
    assert_header("access-control-allow-methods", NULL);
}

/* It is in nobody's browser, also where the API is. */
static void test_admin_port(void **state)
{
    (void)state;
    allow("*");
    http_fixture_router(fixture)->admin = true;
    http_request(fixture, "GET", "/readyz", "Origin: " SHOP "\r\n", NULL, &reply);
    assert_header("access-control-allow-origin", NULL);
    http_request(fixture, "OPTIONS", "/api/orders", "Origin: " SHOP "\r\n" ASKS("POST"), NULL,
                 &reply);
    assert_problem(&reply, 405, "method_not_allowed");
    assert_header("access-control-allow-origin", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good_origins, forbid),
        cmocka_unit_test_setup(test_bad_origins, forbid),
        cmocka_unit_test_setup(test_none_by_default, forbid),
        cmocka_unit_test_setup(test_answers, forbid),
        cmocka_unit_test_setup(test_answers_of_h2o, forbid),
        cmocka_unit_test_setup(test_everybody, forbid),
        cmocka_unit_test_setup(test_preflights, forbid),
        cmocka_unit_test_setup(test_admin_port, forbid),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
