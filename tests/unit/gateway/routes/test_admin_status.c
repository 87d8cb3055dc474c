#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void get(const char *headers)
{
    http_request(fixture, "GET", "/api/admin/status", headers, NULL, &reply);
}

static void test_told(void **state)
{
    (void)state;
    get("Authorization: Bearer s3cret\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, FAKE_STATUS);
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    http_request(fixture, "HEAD", "/api/admin/status", "Authorization: Bearer s3cret\r\n", NULL,
                 &reply);
    assert_int_equal(reply.status, 200);
}

static void test_unauthorized(void **state)
{
    (void)state;
    get("");
    assert_problem(&reply, 401, "unauthorized");
    assert_string_equal(fakes->calls, "");
}

static void test_late(void **state)
{
    (void)state;
    fakes->status_mode = FAKE_SLOW;
    int fd =
        http_send(fixture, "GET", "/api/admin/status", "Authorization: Bearer s3cret\r\n", NULL);
    wait_until(fakes->statuses > 0, usleep(1000));
    test_clock_advance(SYSTEM_STATUS_TIMEOUT_MS + 500);
    http_read_reply(fd, false, &reply);
    close(fd);
    assert_problem(&reply, 503, "deadline_exceeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_told, reset),
        cmocka_unit_test_setup(test_unauthorized, reset),
        cmocka_unit_test_setup(test_late, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
