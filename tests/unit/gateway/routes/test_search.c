#include "services/gateway/request.h"
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

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
    wait_until(fakes->answers_released == 1, usleep(1000)); /* and not in the next test */
}

/* An answer is released when its client has it, and when there is none. */
static void test_answers_are_released(void **state)
{
    (void)state;
    http_request(fixture, "HEAD", "/api/search?q=a", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header_value(&reply, "content-length"), "20");
    assert_int_equal(reply.body_len, 0);
    for (int i = 0; i < 20; i++)
        get("/api/search?q=a");
    wait_until(fakes->answers_released == 21, usleep(1000));

    fakes->search_mode = FAKE_SLOW; /* the request is answered before */
    fakes->search_status = ORDER_SEARCH_OK;
    int fd = http_send(fixture, "GET", "/api/search?q=a", "", NULL);
    wait_until(fakes->searches == 22, usleep(1000));
    test_clock_advance(5500);
    http_read_reply(fd, false, &reply);
    close(fd);
    assert_problem(&reply, 504, "search_timeout");
    wait_until(fakes->answers_released == 22, {
        test_clock_advance(100);
        usleep(1000);
    });
}

/* Also when its client does not read it, for as long as is allowed. */
static void test_a_client_that_does_not_read(void **state)
{
    (void)state;
    static char large[32 * 1024 * 1024]; /* more than the kernel's buffers take */
    fakes->search_body = large;
    fakes->search_body_len = sizeof(large);
    int fd = http_send(fixture, "GET", "/api/search?q=a", "", NULL);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
    test_clock_advance(REPLY_KEPT_MS - 1);
    for (int i = 0; i < 2; i++) /* what is done in a later turn came after it */
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(fakes->answers_released, 0);
    test_clock_advance(101);
    wait_until(fakes->answers_released == 1, usleep(1000));
    close(fd);
}

/* While the index lacks orders, each answer tells how many. */
static void test_incomplete(void **state)
{
    (void)state;
    static const struct {
        double missing;
        const char *told;
    } cases[] = {{0.01234, "0.0123"}, {1, "1.0000"}, {0.000001, "0.0001"}, {0, "0.0000"}};
    struct api *api = http_fixture_router(fixture)->api;
    get("/api/search?q=a");
    assert_null(reply_header_value(&reply, "x-search-incomplete"));
    api->search_incomplete = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        api->search_missing = cases[i].missing;
        get("/api/search?q=a");
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply_header_value(&reply, "x-search-incomplete"), cases[i].told);
    }
    api->search_incomplete = false;
    wait_until(fakes->answers_released == 5, usleep(1000));
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
    fakes->search_status = ORDER_SEARCH_NO_ROOM;
    get("/api/search?q=a");
    assert_problem(&reply, 503, "search_overloaded");
    assert_string_equal(reply_header_value(&reply, "retry-after"), "1");
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_found, reset),
        cmocka_unit_test_setup(test_answers_are_released, reset),
        cmocka_unit_test_setup(test_a_client_that_does_not_read, reset),
        cmocka_unit_test_setup(test_incomplete, reset),
        cmocka_unit_test_setup(test_paging, reset),
        cmocka_unit_test_setup(test_bad_parameters, reset),
        cmocka_unit_test_setup(test_failures, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
