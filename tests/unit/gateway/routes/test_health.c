/* What the two ports tell of the gateway: the API port only the states, the admin port all. */
#include "services/runtime/health.h"
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct health_check *required, *degraded;

static void get(const char *path)
{
    http_request(fixture, "GET", path, "", NULL, &reply);
}

static void assert_readyz(int status, const char *body)
{
    get("/readyz");
    assert_int_equal(reply.status, status);
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    assert_string_equal(reply.body, body);
}

static int on_api_port(void **state)
{
    http_fixture_router(fixture)->admin = false;
    http_fixture_settings(fixture)->public_metrics = false;
    return reset(state);
}

static int on_admin_port(void **state)
{
    int failed = on_api_port(state);
    http_fixture_router(fixture)->admin = true;
    return failed;
}

static void test_public_readyz(void **state)
{
    (void)state;
    health_set(required, true, NULL);
    health_set(degraded, true, NULL);
    assert_readyz(200, "{\"status\":\"ready\",\"dependencies\":[{\"name\":\"accepting\",\"status\":"
                       "\"up\"},{\"name\":\"cache\",\"status\":\"up\"}]}\n");
    health_set(degraded, false, "cannot connect to 192.0.2.7:6379");
    assert_readyz(200, "{\"status\":\"degraded\",\"dependencies\":[{\"name\":\"accepting\","
                       "\"status\":\"up\"},{\"name\":\"cache\",\"status\":\"down\"}]}\n");
    health_set(required, false, "ACCESS_REFUSED by rabbit@secret-host");
    assert_readyz(503, "{\"status\":\"not ready\",\"dependencies\":[{\"name\":\"accepting\","
                       "\"status\":\"down\"},{\"name\":\"cache\",\"status\":\"down\"}]}\n");
}

static void test_admin_readyz(void **state)
{
    (void)state;
    health_set(required, true, NULL);
    health_set(degraded, false, "cannot connect to 192.0.2.7:6379");
    assert_readyz(200,
                  "{\"status\":\"degraded\",\"dependencies\":[{\"name\":\"accepting\","
                  "\"required\":true,\"status\":\"up\"},{\"name\":\"cache\",\"required\":false,"
                  "\"status\":\"down\",\"reason\":\"cannot connect to 192.0.2.7:6379\"}]}\n");
}

static void test_public_metrics(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "OPTIONS"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        http_request(fixture, methods[i], "/metrics", "", NULL, &reply);
        assert_problem(&reply, 404, "not_found");
    }
    http_fixture_settings(fixture)->public_metrics = true;
    get("/metrics");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\nservice_ready "));
}

static void test_admin_metrics(void **state)
{
    (void)state;
    get("/metrics");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header_value(&reply, "content-type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(reply.body, "\nservice_ready "));
}

static void test_livez(void **state)
{
    (void)state;
    get("/livez");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"status\":\"alive\"}\n");
}

static void test_public_routes_on_admin_port(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *headers, *body;
        int status;
    } cases[] = {
        {"POST", "/api/orders", "", "{\"product_name\":\"a\",\"amount\":1}", 202},
        {"GET", "/api/orders/x", "", NULL, 400},
        {"GET", "/api/search?q=a", "", NULL, 200},
        {"GET", "/api/dashboard/sales", "", NULL, 200},
        {"POST", "/api/admin/refresh", "Authorization: Bearer s3cret\r\n", "", 200},
        {"POST", "/api/admin/refresh", "", "", 401},
        {"POST", "/api/bulk-orders", "", "{\"item_1\":\"a\",\"item_2\":\"b\"}", 201},
        {"GET", "/nothing", "", NULL, 404},
        {"POST", "/api/orders", "", "{", 400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http_request(fixture, cases[i].method, cases[i].path, cases[i].headers, cases[i].body,
                     &reply);
        assert_int_equal(reply.status, cases[i].status);
    }
}

int main(void)
{
    required = health_check("accepting", HEALTH_REQUIRED);
    degraded = health_check("cache", HEALTH_DEGRADED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_public_readyz, on_api_port),
        cmocka_unit_test_setup(test_admin_readyz, on_admin_port),
        cmocka_unit_test_setup(test_public_metrics, on_api_port),
        cmocka_unit_test_setup(test_admin_metrics, on_admin_port),
        cmocka_unit_test_setup(test_livez, on_api_port),
        cmocka_unit_test_setup(test_livez, on_admin_port),
        cmocka_unit_test_setup(test_public_routes_on_admin_port, on_admin_port),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
