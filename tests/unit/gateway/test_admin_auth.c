/* Who may use the routes of operators: by token, by method, by port. */
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REFRESH "/api/admin/refresh"
#define TOKEN "Authorization: Bearer s3cret\r\n"
#define READ_TOKEN "Authorization: Bearer l00k\r\n"

static struct api_settings before;

static int set_tokens(void **state)
{
    struct api_settings *settings = http_fixture_settings(fixture);
    before = *settings;
    settings->admin_read_token = "l00k";
    return reset(state);
}

static int restore(void **state)
{
    (void)state;
    *http_fixture_settings(fixture) = before;
    http_fixture_router(fixture)->admin = false;
    return 0;
}

static void post(const char *headers)
{
    http_request(fixture, "POST", REFRESH, headers, NULL, &reply);
}

static void test_tokens(void **state)
{
    (void)state;
    post(TOKEN);
    assert_int_equal(reply.status, 200);
    post(READ_TOKEN);
    assert_problem(&reply, 403, "read_only_token");
    post("Authorization: Bearer l00kk\r\n");
    assert_problem(&reply, 401, "unauthorized");
    post("");
    assert_problem(&reply, 401, "unauthorized");
    assert_string_equal(fakes->calls, "refresh ");
}

static void test_read_token_alone(void **state)
{
    (void)state;
    http_fixture_settings(fixture)->admin_token = NULL;
    post(READ_TOKEN);
    assert_problem(&reply, 403, "read_only_token");
    post(TOKEN);
    assert_problem(&reply, 401, "unauthorized");
    http_fixture_settings(fixture)->admin_read_token = NULL;
    post(TOKEN);
    assert_problem(&reply, 403, "admin_disabled");
    assert_string_equal(fakes->calls, "");
}

static void test_open(void **state)
{
    (void)state;
    http_fixture_settings(fixture)->admin_auth = false;
    post("");
    assert_int_equal(reply.status, 200);
    post("X-Operator:\r\n");
    assert_problem(&reply, 400, "invalid_operator");
}

static void test_operator(void **state)
{
    (void)state;
    char long_name[102], headers[256];
    memset(long_name, 'a', 101);
    long_name[101] = '\0';
    static const char *const good[] = {"a", "Ada Lovelace <ada@example.org>", "~"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(headers, sizeof(headers), TOKEN "X-Operator: %s\r\n", good[i]);
        post(headers);
        assert_int_equal(reply.status, 200);
    }
    const char *const bad[] = {"", "a\tb", "\xc3\xa4", "a\r\nX-Operator: b", long_name};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(headers, sizeof(headers), TOKEN "X-Operator: %s\r\n", bad[i]);
        post(headers);
        assert_problem(&reply, 400, "invalid_operator");
    }
    snprintf(headers, sizeof(headers), TOKEN "X-Operator: %s\r\n", long_name + 1);
    post(headers);
    assert_int_equal(reply.status, 200);
    post("X-Operator: a\tb\r\n"); /* without a token nothing else is told */
    assert_problem(&reply, 401, "unauthorized");
}

static void test_ports(void **state)
{
    (void)state;
    http_fixture_settings(fixture)->public_admin = false;
    post(TOKEN);
    assert_problem(&reply, 404, "not_found");
    http_request(fixture, "GET", REFRESH, TOKEN, NULL, &reply);
    assert_problem(&reply, 404, "not_found");
    http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    http_fixture_router(fixture)->admin = true;
    post(TOKEN);
    assert_int_equal(reply.status, 200);
    post(READ_TOKEN);
    assert_problem(&reply, 403, "read_only_token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tokens, set_tokens, restore),
        cmocka_unit_test_setup_teardown(test_read_token_alone, set_tokens, restore),
        cmocka_unit_test_setup_teardown(test_open, set_tokens, restore),
        cmocka_unit_test_setup_teardown(test_operator, set_tokens, restore),
        cmocka_unit_test_setup_teardown(test_ports, set_tokens, restore),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
