#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void get(const char *path)
{
    http_request(fixture, "GET", path, "", NULL, &reply);
}

static void test_found(void **state)
{
    (void)state;
    get("/api/search?q=gaming+laptop");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"took\":1,\"hits\":{}}");
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(fakes->term, "gaming laptop");
    assert_int_equal(fakes->size, 10);
    assert_int_equal(fakes->from, 0);
}

static void test_paging(void **state)
{
    (void)state;
    get("/api/search?from=9900&q=a&size=100");
    assert_int_equal(reply.status, 200);
    assert_int_equal(fakes->size, 100);
    assert_int_equal(fakes->from, 9900);
}

static void test_bad_parameters(void **state)
{
    (void)state;
    static const char *const paths[] = {"/api/search",
                                        "/api/search?",
                                        "/api/search?q=",
                                        "/api/search?q=%ff",
                                        "/api/search?q=%zz",
                                        "/api/search?q=a&size=0",
                                        "/api/search?q=a&size=101",
                                        "/api/search?q=a&size=x",
                                        "/api/search?q=a&from=-1",
                                        "/api/search?q=a&from=9991",
                                        "/api/search?q=a&from=99999999999999999999",
                                        "/api/search?q=a&from=9901&size=100"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        get(paths[i]);
        assert_problem(&reply, 400, "invalid_parameter");
    }
}

static void test_failures(void **state)
{
    (void)state;
    fakes->search_mode = FAKE_REFUSES;
    get("/api/search?q=a");
    assert_problem(&reply, 503, "overloaded");
    fakes->search_mode = FAKE_FAILS;
    fakes->search_status = ORDER_SEARCH_FAILED;
    get("/api/search?q=a");
    assert_problem(&reply, 502, "search_failed");
    fakes->search_status = ORDER_SEARCH_TIMEOUT;
    get("/api/search?q=a");
    assert_problem(&reply, 504, "search_timeout");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_found, reset),
        cmocka_unit_test_setup(test_paging, reset),
        cmocka_unit_test_setup(test_bad_parameters, reset),
        cmocka_unit_test_setup(test_failures, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
