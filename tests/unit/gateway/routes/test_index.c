/* What a client gets at /, by its port and by what it would rather have. */
#include "services/gateway/console.h"
#include "services/gateway/router.h"
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/cmocka_headers.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define BROWSER "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"

static int on_port(bool admin, bool console)
{
    http_fixture_router(fixture)->admin = admin;
    http_fixture_settings(fixture)->public_console = console;
    http_fixture_settings(fixture)->public_admin = true;
    http_fixture_settings(fixture)->public_metrics = false;
    return reset(NULL);
}

static int on_console_port(void **state)
{
    (void)state;
    return on_port(false, true);
}

static void get(const char *headers)
{
    http_request(fixture, "GET", "/", headers, NULL, &reply);
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

static void assert_console(const char *bytes, size_t len)
{
    assert_int_equal(reply.status, 200);
    assert_header("content-type", "text/html; charset=utf-8");
    assert_header("content-encoding", bytes == console_gzip ? "gzip" : NULL);
    assert_header("content-security-policy", console_policy);
    assert_header("referrer-policy", "no-referrer");
    assert_header("cross-origin-opener-policy", "same-origin");
    assert_header("x-content-type-options", "nosniff");
    assert_header("cache-control", "no-cache");
    assert_header("etag", console_etag);
    assert_header("vary", "Accept, Accept-Encoding");
    assert_int_equal(reply.body_len, len);
    assert_memory_equal(reply.body, bytes, len);
    assert_false(reply.closed);
}

static json_t *links_of_reply(void)
{
    assert_int_equal(reply.status, 200);
    assert_header("content-type", "application/json");
    assert_header("content-security-policy", NULL);
    assert_header("etag", NULL);
    assert_header("vary", "Accept, Accept-Encoding");
    json_t *index = json_loadb(reply.body, reply.body_len, 0, NULL);
    assert_non_null(index);
    assert_string_equal(json_string_value(json_object_get(index, "openapi")), "/openapi.json");
    json_t *links = json_incref(json_object_get(index, "links"));
    json_decref(index);
    return links;
}

static void test_ports(void **state)
{
    (void)state;
    static const struct {
        bool admin, console, page;
    } ports[] = {{false, false, false}, {false, true, true}, {true, false, true}};
    for (size_t i = 0; i < COUNT(ports); i++) {
        (void)on_port(ports[i].admin, ports[i].console);
        get(BROWSER);
        if (ports[i].page)
            assert_console(console_html, console_html_len);
        else
            json_decref(links_of_reply());
        get("Accept: */*\r\n");
        json_decref(links_of_reply());
        get("");
        json_decref(links_of_reply());
        get("If-None-Match: *\r\n");
        json_decref(links_of_reply());
    }
}

static void assert_link(const json_t *links, const char *name, const char *method, const char *href)
{
    const json_t *link = json_object_get(links, name);
    if (link == NULL)
        fail_msg("there is no link %s", name);
    assert_string_equal(json_string_value(json_object_get(link, "method")), method);
    assert_string_equal(json_string_value(json_object_get(link, "href")), href);
}

static void test_links(void **state)
{
    (void)state;
    get("");
    json_t *links = links_of_reply();
    assert_link(links, "post_order", "POST", "/api/orders");
    assert_link(links, "get_order", "GET", "/api/orders/{id}");
    assert_link(links, "order_status", "GET", "/api/orders/{id}/status");
    assert_link(links, "admin_status", "GET", "/api/admin/status");
    assert_null(json_object_get(links, "metrics"));
    json_decref(links);

    http_fixture_settings(fixture)->public_admin = false;
    get("");
    links = links_of_reply();
    assert_null(json_object_get(links, "admin_status"));
    json_decref(links);

    http_fixture_router(fixture)->admin = true;
    get("");
    links = links_of_reply();
    assert_link(links, "metrics", "GET", "/metrics");
    assert_link(links, "admin_status", "GET", "/api/admin/status");
    struct route_description route;
    size_t count = 0;
    while (router_describe(count, &route))
        count++;
    assert_int_equal(json_object_size(links), count);
    json_decref(links);
}

static void test_gzip(void **state)
{
    (void)state;
    get(BROWSER "Accept-Encoding: gzip, deflate, br\r\n");
    assert_console(console_gzip, console_gzip_len);
    get(BROWSER "Accept-Encoding: gzip;q=0, *;q=0.1\r\n");
    assert_console(console_html, console_html_len);
}

static void test_not_modified(void **state)
{
    (void)state;
    static const char *const lines[] = {"%s", "\"x\", %s", "*"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        char value[128], headers[512];
        (void)snprintf(value, sizeof(value), lines[i], console_etag);
        (void)snprintf(headers, sizeof(headers), BROWSER "If-None-Match: %s\r\n", value);
        get(headers);
        assert_int_equal(reply.status, 304);
        assert_header("etag", console_etag);
        assert_header("cache-control", "no-cache");
        assert_header("vary", "Accept, Accept-Encoding");
        assert_header("content-length", NULL);
        assert_header("content-type", NULL);
        assert_int_equal(reply.body_len, 0);
        assert_false(reply.closed);
    }
    get(BROWSER "If-None-Match: \"x\"\r\n");
    assert_console(console_html, console_html_len);
}

static void test_head(void **state)
{
    (void)state;
    char length[32];
    (void)snprintf(length, sizeof(length), "%zu", console_html_len);
    http_request(fixture, "HEAD", "/", BROWSER, NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_header("content-length", length);
    assert_header("content-security-policy", console_policy);
    assert_int_equal(reply.body_len, 0);
    assert_false(reply.closed);
    http_request(fixture, "HEAD", "/", "", NULL, &reply);
    assert_header("content-type", "application/json");
    http_request(fixture, "POST", "/", BROWSER, "", &reply);
    assert_problem(&reply, 405, "method_not_allowed");
    assert_header("allow", "GET, HEAD");
}

/* "/" in absolute form too (RFC 9110, 4.2.3). */
static void test_absolute_form(void **state)
{
    (void)state;
    http_request(fixture, "GET", "http://example.org", BROWSER, NULL, &reply);
    assert_console(console_html, console_html_len);
    http_request(fixture, "GET", "/?x=1", BROWSER, NULL, &reply);
    assert_console(console_html, console_html_len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ports, on_console_port),
        cmocka_unit_test_setup(test_links, on_console_port),
        cmocka_unit_test_setup(test_gzip, on_console_port),
        cmocka_unit_test_setup(test_not_modified, on_console_port),
        cmocka_unit_test_setup(test_head, on_console_port),
        cmocka_unit_test_setup(test_absolute_form, on_console_port),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
