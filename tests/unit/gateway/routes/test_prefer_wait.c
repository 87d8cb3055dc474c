/* POST /api/orders with Prefer: wait=N. */
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LAPTOP "{\"product_name\":\"Laptop\",\"amount\":1299.99}"
#define KEY "Idempotency-Key: k-1\r\n"
#define WAIT "Prefer: wait=5\r\n"

static void post(const char *headers)
{
    http_request(fixture, "POST", "/api/orders", headers, LAPTOP, &reply);
}

/* The answer's status and body, the order's id in its place; and the headers of any such answer. */
static void assert_answer(int status, const char *before_id)
{
    char id[ORDER_ID_TEXT_LEN + 1], body[512], location[64];
    order_id_format(&fakes->waited.id, id);
    snprintf(body, sizeof(body), "{%s\"order_id\":\"%s\"}", before_id, id);
    snprintf(location, sizeof(location), "/api/orders/%s", id);
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.body, body);
    assert_string_equal(reply_header_value(&reply, "location"), location);
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    const char *applied = reply_header_value(&reply, "preference-applied");
    if (status == 201)
        assert_string_equal(applied, "wait=5");
    else
        assert_null(applied);
}

static void test_stored(void **state)
{
    (void)state;
    post(WAIT);
    assert_answer(201, "\"status\":\"stored\",");
    assert_string_equal(fakes->calls, "publish put wait ");
    assert_string_equal(fakes->waited.product_name, "Laptop");
    assert_int_equal(fakes->waited.amount_cents, 129999);
    assert_int_equal(fakes->wait_ms, 5000);
}

static void test_not_in_time(void **state)
{
    (void)state;
    fakes->wait_result = ORDER_WAIT_OVER;
    post(WAIT);
    assert_answer(202, "\"status\":\"processing\",");
}

static void test_died(void **state)
{
    (void)state;
    fakes->wait_result = ORDER_WAIT_DIED;
    fakes->wait_reason = "value_out_of_range";
    post(WAIT);
    assert_answer(202, "\"status\":\"dead\",\"reason\":\"value_out_of_range\",");
    fakes->wait_reason = "\"\n";
    post(WAIT);
    assert_answer(202, "\"status\":\"dead\",\"reason\":\"\\\"\\u000a\",");
}

static void test_too_many_wait(void **state)
{
    (void)state;
    fakes->wait_mode = FAKE_REFUSES;
    post(WAIT);
    assert_int_equal(reply.status, 202);
    assert_non_null(strstr(reply.body, "processing"));
    assert_null(reply_header_value(&reply, "preference-applied"));
}

/* What the client was not told as accepted is not waited for. */
static void test_refused_orders(void **state)
{
    (void)state;
    fakes->queue_mode = FAKE_FAILS;
    fakes->queue_result = PUBLISH_REFUSED;
    post(WAIT);
    assert_problem(&reply, 503, "queue_unavailable");
    fakes->queue_result = PUBLISH_UNKNOWN;
    post(WAIT);
    assert_problem(&reply, 503, "outcome_unknown");
    assert_null(strstr(fakes->calls, "wait"));
}

static void test_replays(void **state)
{
    (void)state;
    post(KEY WAIT);
    assert_answer(201, "\"status\":\"stored\",");
    fakes->calls[0] = '\0';
    post(KEY WAIT); /* the cache knows it */
    assert_answer(201, "\"status\":\"stored\",");
    assert_string_equal(fakes->calls, "get publish confirm wait ");
    fakes->calls[0] = '\0';
    fakes->entry_count = 0;
    order_copy(&fakes->rows[fakes->row_count++], &fakes->waited);
    post(KEY WAIT); /* its row was seen */
    assert_answer(201, "\"status\":\"stored\",");
    assert_string_equal(fakes->calls, "get find confirm ");
    post(KEY);
    assert_answer(202, "\"status\":\"processing\",");
}

static void test_no_other_route(void **state)
{
    (void)state;
    http_request(fixture, "POST", "/api/bulk-orders", WAIT, "{\"orders\":[" LAPTOP "]}", &reply);
    assert_int_equal(reply.status, 201);
    assert_null(reply_header_value(&reply, "preference-applied"));
    assert_string_equal(fakes->calls, "insert ");
}

static void test_the_header(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t wait_s; /* 0: not at all */
    } cases[] = {
        {"Prefer: wait=1\r\n", 1},
        {"Prefer: wait=10\r\n", 10},
        {"prefer: WAIT=3\r\n", 3},
        {"Prefer: wait = 3\r\n", 3},
        {"Prefer: wait=\"3\"\r\n", 3},
        {"Prefer: wait=003\r\n", 3},
        {"Prefer: respond-async, wait=3\r\n", 3},
        {"Prefer: respond-async\r\nPrefer: wait=3\r\n", 3},
        {"Prefer: , ,wait=3,\r\n", 3},
        {"Prefer: wait=3; foo=\"a,b;c\\\"d\" ;; bar; baz = 1 , return=minimal\r\n", 3},
        {"Prefer: foo=\"a, wait=2\", wait=3\r\n", 3},
        {"Prefer: foo; wait=2, wait=3\r\n", 3}, /* that is a parameter */
        {"Prefer: foo=, wait=2=2, wait=3\r\n", 3},
        {"Prefer: @, \"x, wait=2\" y, wait=3\r\n", 3},
        {"Prefer: wait=3, wait=4\r\nPrefer: wait=5\r\n", 3}, /* the first counts */
        {"Prefer: wait=0, wait=4\r\n", 0},
        {"Prefer: wait=11\r\n", 0},
        {"Prefer: wait=4294967297\r\n", 0},
        {"Prefer: wait=99999999999999999999999999\r\n", 0},
        {"Prefer: wait=-1\r\n", 0},
        {"Prefer: wait=1.5\r\n", 0},
        {"Prefer: wait=1s\r\n", 0},
        {"Prefer: wait\r\n", 0},
        {"Prefer: wait=\r\n", 0},
        {"Prefer: wait=\"\"\r\n", 0},
        {"Prefer: wait=\"3\r\n", 0},
        {"Prefer: wait=\"3\\\r\n", 0},
        {"Prefer: wait=3 3\r\n", 0},
        {"Prefer: wait 3\r\n", 0},
        {"Prefer: waits=3\r\n", 0},
        {"Prefer: \"wait=3\"\r\n", 0},
        {"Prefer: =3\r\n", 0},
        {"Prefer:\r\n", 0},
        {"Preference: wait=3\r\n", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fakes->wait_ms = 0;
        fakes->entry_count = 0;
        fakes->calls[0] = '\0';
        post(cases[i].headers);
        if (fakes->wait_ms != 1000 * cases[i].wait_s ||
            reply.status != (cases[i].wait_s > 0 ? 201 : 202))
            fail_msg("%s: %d, %d ms", cases[i].headers, reply.status, (int)fakes->wait_ms);
    }
}

static void assert_open(int fd)
{
    char byte;
    for (int i = 0; i < 2; i++) /* what is answered in a later turn came after it */
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
}

/* More wait than there may be requests under way: the others do not notice. */
static void test_many_wait(void **state)
{
    (void)state;
    enum { MANY = 60 };
    int fds[MANY];
    fakes->wait_mode = FAKE_SLOW;
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = http_send(fixture, "POST", "/api/orders", "Prefer: wait=10\r\n", LAPTOP);
        wait_until(fakes->waits_begun == i + 1, usleep(1000));
        fakes->entry_count = 0;
    }
    post("");
    assert_int_equal(reply.status, 202);
    test_clock_advance(6999); /* past the time of a request that does not wait */
    assert_open(fds[0]);
    test_clock_advance(1);
    for (unsigned i = 0; i < MANY; i++) {
        http_read_reply(fds[i], false, &reply);
        assert_int_equal(reply.status, 201);
        close(fds[i]);
    }
}

/* A wait that does not end by itself is over all the same; an accepted order is no 503. */
static void test_deadline(void **state)
{
    (void)state;
    fakes->wait_mode = FAKE_SLOW;
    int fd = http_send(fixture, "POST", "/api/orders", "Prefer: wait=1\r\n", LAPTOP);
    wait_until(fakes->waits_begun == 1, usleep(1000));
    test_clock_advance(1000);
    assert_open(fd);
    test_clock_advance(200);
    http_read_reply(fd, false, &reply);
    close(fd);
    assert_answer(202, "\"status\":\"processing\",");
    test_clock_advance(6000); /* it ends, for nobody */
}

/* A client that has gone is not waited for. */
static void test_gone(void **state)
{
    (void)state;
    fakes->wait_mode = FAKE_SLOW;
    int fd = http_send(fixture, "POST", "/api/orders", "Prefer: wait=2\r\n", LAPTOP);
    wait_until(fakes->waits_begun == 1, usleep(1000));
    close(fd);
    test_clock_advance(7000);
    post("");
    assert_int_equal(reply.status, 202);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stored, reset),
        cmocka_unit_test_setup(test_not_in_time, reset),
        cmocka_unit_test_setup(test_died, reset),
        cmocka_unit_test_setup(test_too_many_wait, reset),
        cmocka_unit_test_setup(test_refused_orders, reset),
        cmocka_unit_test_setup(test_replays, reset),
        cmocka_unit_test_setup(test_no_other_route, reset),
        cmocka_unit_test_setup(test_the_header, reset),
        cmocka_unit_test_setup(test_many_wait, reset),
        cmocka_unit_test_setup(test_deadline, reset),
        cmocka_unit_test_setup(test_gone, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
