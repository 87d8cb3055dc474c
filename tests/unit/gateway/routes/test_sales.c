#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void get(void)
{
    http_request(fixture, "GET", "/api/dashboard/sales", "", NULL, &reply);
}

static void test_days(void **state)
{
    (void)state;
    fakes->days[0] = (struct sales_day){INT64_C(1795392000000000), "9402573.12"};
    fakes->days[1] = (struct sales_day){INT64_C(1795305600000000), "-0.01"};
    fakes->day_count = 2;
    get();
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(reply.body,
                        "[{\"date\":\"2026-11-23T00:00:00Z\",\"total_revenue\":9402573.12},"
                        "{\"date\":\"2026-11-22T00:00:00Z\",\"total_revenue\":-0.01}]");
}

static void test_most_days(void **state)
{
    (void)state;
    for (size_t i = 0; i < SALES_DAYS_MAX; i++)
        fakes->days[i] =
            (struct sales_day){INT64_C(1795392000000000),
                               "99999999999999999999999999999999999999999999999999999999999.99"};
    fakes->day_count = SALES_DAYS_MAX;
    get();
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body[reply.body_len - 1], ']');
}

static void test_no_days(void **state)
{
    (void)state;
    get();
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "[]");
}

static void test_live(void **state)
{
    static const struct {
        const char *target;
        int status;
        bool live;
    } cases[] = {
        {"/api/dashboard/sales?live=true", 200, true},
        {"/api/dashboard/sales?live=false", 200, false},
        {"/api/dashboard/sales?other=1", 200, false},
        {"/api/dashboard/sales?", 200, false},
        {"/api/dashboard/sales?live=", 400, false},
        {"/api/dashboard/sales?live=truely", 400, false},
        {"/api/dashboard/sales?live=1", 400, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fakes->sales_live = !cases[i].live;
        http_request(fixture, "GET", cases[i].target, "", NULL, &reply);
        assert_int_equal(reply.status, cases[i].status);
        if (cases[i].status == 200)
            assert_int_equal(fakes->sales_live, cases[i].live);
        else
            assert_problem(&reply, 400, "invalid_parameter");
    }
}

static void test_failures(void **state)
{
    (void)state;
    fakes->store_mode = FAKE_REFUSES;
    get();
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    get();
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_status = ORDER_STORE_FAILED;
    get();
    assert_problem(&reply, 500, "store_failed");
    fakes->store_status = ORDER_STORE_UNFINISHED;
    get();
    assert_problem(&reply, 503, "sales_unfinished");
    fakes->store_status = ORDER_STORE_IMPOSSIBLE;
    get();
    assert_problem(&reply, 501, "live_sales_impossible");
}

/* A crowd comes while a query is under way. */

#define CROWD 5

static int crowd[CROWD];

static int send_get(void)
{
    return http_send(fixture, "GET", "/api/dashboard/sales", "", NULL);
}

static void gather_crowd(void)
{
    fakes->sales_held = true;
    crowd[0] = send_get();
    wait_until(fakes->sales_reads > 0, usleep(1000));
    for (size_t i = 1; i < CROWD; i++)
        crowd[i] = send_get();
    /* What is answered in a later turn came after them. */
    for (int i = 0; i < 2; i++)
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
}

static void read_one(int fd)
{
    http_read_reply(fd, false, &reply);
    close(fd);
}

static void test_a_crowd_shares_the_next_query(void **state)
{
    (void)state;
    fakes->days[0] = (struct sales_day){INT64_C(1795392000000000), "1.25"};
    fakes->day_count = 1;
    gather_crowd();
    assert_int_equal(fakes->sales_reads, 1);
    close(crowd[1]); /* the others are answered all the same */
    fakes->sales_held = false;
    for (size_t i = 0; i < CROWD; i++) {
        if (i == 1)
            continue;
        read_one(crowd[i]);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body,
                            "[{\"date\":\"2026-11-23T00:00:00Z\",\"total_revenue\":1.25}]");
    }
    assert_int_equal(fakes->sales_reads, 2); /* not the one under way */
}

/* The first of the crowd has its answer; the query that the others share ends in `mode`. */
static void share(enum fake_mode mode, int status, const char *code)
{
    gather_crowd();
    fakes->store_mode = mode;
    fakes->store_status = ORDER_STORE_FAILED;
    fakes->sales_held = false;
    read_one(crowd[0]);
    assert_int_equal(reply.status, 200);
    for (size_t i = 1; i < CROWD; i++) {
        read_one(crowd[i]);
        assert_problem(&reply, status, code);
    }
    fakes->store_mode = FAKE_WORKS;
    get();
    assert_int_equal(reply.status, 200);
}

static void test_a_crowd_shares_a_failure(void **state)
{
    (void)state;
    share(FAKE_FAILS, 500, "store_failed");
}

static void test_a_crowd_shares_a_refusal(void **state)
{
    (void)state;
    share(FAKE_REFUSES, 503, "store_unavailable");
}

static void test_a_query_without_answer(void **state)
{
    (void)state;
    gather_crowd();
    test_clock_advance(5500); /* 5 s, and 10 % of it at most */
    for (size_t i = 0; i < CROWD; i++) {
        read_one(crowd[i]);
        assert_problem(&reply, 503, "deadline_exceeded");
    }
    fakes->sales_held = false;
    get();
    assert_int_equal(reply.status, 200);
}

static void test_head(void **state)
{
    (void)state;
    http_request(fixture, "HEAD", "/api/dashboard/sales", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header_value(&reply, "content-length"), "2");
    assert_int_equal(reply.body_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_days, reset),
        cmocka_unit_test_setup(test_most_days, reset),
        cmocka_unit_test_setup(test_no_days, reset),
        cmocka_unit_test_setup(test_live, reset),
        cmocka_unit_test_setup(test_failures, reset),
        cmocka_unit_test_setup(test_head, reset),
        cmocka_unit_test_setup(test_a_crowd_shares_the_next_query, reset),
        cmocka_unit_test_setup(test_a_crowd_shares_a_failure, reset),
        cmocka_unit_test_setup(test_a_crowd_shares_a_refusal, reset),
        cmocka_unit_test_setup(test_a_query_without_answer, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
