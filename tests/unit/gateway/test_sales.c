#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void get(void)
{
    http_request(fixture, "GET", "/api/dashboard/sales", "", NULL, &reply);
}

static void test_days(void **state)
{
    (void)state;
    fakes->days[0] = (struct order_store_sales_day){INT64_C(1795392000000000), "9402573.12"};
    fakes->days[1] = (struct order_store_sales_day){INT64_C(1795305600000000), "-0.01"};
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
    for (size_t i = 0; i < ORDER_STORE_SALES_DAYS_MAX; i++)
        fakes->days[i] = (struct order_store_sales_day){
            INT64_C(1795392000000000),
            "99999999999999999999999999999999999999999999999999999999999.99"};
    fakes->day_count = ORDER_STORE_SALES_DAYS_MAX;
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_days, reset),
        cmocka_unit_test_setup(test_most_days, reset),
        cmocka_unit_test_setup(test_no_days, reset),
        cmocka_unit_test_setup(test_failures, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
