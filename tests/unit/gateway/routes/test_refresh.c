#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void post(const char *headers)
{
    http_request(fixture, "POST", "/api/admin/refresh", headers, NULL, &reply);
}

static void test_refreshed(void **state)
{
    (void)state;
    post("Authorization: Bearer s3cret\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "Materialized view refreshed successfully.");
    post("authorization: bearer s3cret\r\n"); /* schemes have no case (RFC 9110, 11.1) */
    assert_int_equal(reply.status, 200);
}

static void test_unauthorized(void **state)
{
    (void)state;
    static const char *const headers[] = {"",
                                          "Authorization: Bearer\r\n",
                                          "Authorization: Bearer \r\n",
                                          "Authorization: Bearer s3cre\r\n",
                                          "Authorization: Bearer s3crets\r\n",
                                          "Authorization: Bearer S3cret\r\n",
                                          "Authorization: Basic s3cret\r\n",
                                          "Authorization: s3cret\r\n",
                                          "Authorization: Bearer  s3cret\r\n",
                                          ("Authorization: Bearer s3cret\r\n"
                                           "Authorization: Bearer s3cret\r\n")};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        post(headers[i]);
        assert_problem(&reply, 401, "unauthorized");
        assert_string_equal(reply_header_value(&reply, "www-authenticate"), "Bearer");
    }
    assert_string_equal(fakes->calls, "");
}

static void test_no_token_configured(void **state)
{
    (void)state;
    struct api_settings *settings = http_fixture_settings(fixture);
    const struct api_settings before = *settings;
    settings->admin_token = NULL;
    post("Authorization: Bearer s3cret\r\n");
    assert_problem(&reply, 403, "admin_disabled");
    post("");
    assert_problem(&reply, 403, "admin_disabled");
    assert_string_equal(fakes->calls, "");
    settings->admin_auth = false;
    post("");
    assert_int_equal(reply.status, 200);
    *settings = before;
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        enum sales_refresh_status status;
        int http_status;
        const char *code;
    } cases[] = {{SALES_REFRESH_FAILED, 500, "refresh_failed"},
                 {SALES_REFRESH_UNAVAILABLE, 503, "refresh_unavailable"},
                 {SALES_REFRESH_TIMEOUT, 504, "refresh_timeout"}};
    for (size_t i = 0; i < 3; i++) {
        fakes->refresh_status = cases[i].status;
        post("Authorization: Bearer s3cret\r\n");
        assert_problem(&reply, cases[i].http_status, cases[i].code);
    }
    fakes->refresh_mode = FAKE_REFUSES;
    post("Authorization: Bearer s3cret\r\n");
    assert_problem(&reply, 503, "overloaded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refreshed, reset),
        cmocka_unit_test_setup(test_unauthorized, reset),
        cmocka_unit_test_setup(test_no_token_configured, reset),
        cmocka_unit_test_setup(test_failures, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
