/* Where a request ends, and what may follow it on its connection. */
#include "services/base/memory.h"
#include "services/http/request_head.h"
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDER "{\"product_name\":\"a\",\"amount\":1}" /* 31 bytes */
#define POST "POST /api/orders HTTP/1.1\r\nHost: x\r\n"
#define GOOD POST "Content-Length: 31\r\n\r\n" ORDER

/* Sends the texts, reads until the server closes, and returns the statuses: "202 400 ". */
static const char *statuses_of(const char *first, const char *second)
{
    static char statuses[64];
    static char text[65536];
    int fd = http_connect(fixture);
    assert_int_equal(send(fd, first, strlen(first), 0), strlen(first));
    (void)send(fd, second, strlen(second), MSG_NOSIGNAL); /* the server may have closed */
    size_t used = 0;
    ssize_t got;
    while ((got = http_receive(fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(fd);
    statuses[0] = '\0';
    for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at += 9)
        snprintf(statuses + strlen(statuses), 5, "%.3s ", at + 9);
    return statuses;
}

static const char *const at_fault[] = {
    POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    POST "Content-Length: 5\r\nContent-Length: 50\r\n\r\n",
    POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
    POST "Content-Length: x\r\n\r\n",
    POST "Content-Length: 5\r\n 5\r\n\r\n",
    POST "Content-Length: 5\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "GET /livez HTTP/1.1\r\n\r\n",
    "GET /livez HTTP/1.1\nHost: x\n\n",
    "\r\nPOST /api/orders HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
};
#define AT_FAULT_COUNT (sizeof(at_fault) / sizeof(at_fault[0]))

/* The answer waits for no body, and no "100 Continue" comes before it. */
static void test_refused_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < AT_FAULT_COUNT; i++) {
        http_exchange(fixture, at_fault[i], strlen(at_fault[i]), &reply);
        assert_problem(&reply, 400, "malformed_request");
        assert_true(reply.closed);
    }
    assert_string_equal(fakes->calls, "");
}

static void test_nothing_follows(void **state)
{
    (void)state;
    for (size_t i = 0; i < AT_FAULT_COUNT; i++)
        assert_string_equal(statuses_of(at_fault[i], "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
                            "400 ");
}

static void test_later_requests(void **state)
{
    (void)state;
    char text[1024];
    for (size_t i = 0; i < AT_FAULT_COUNT; i++) {
        fakes_reset(fakes); /* there is room for a few orders */
        assert_string_equal(statuses_of(GOOD, at_fault[i]), "202 400 ");
        snprintf(text, sizeof(text), "%s%s", GOOD, at_fault[i]);
        assert_string_equal(statuses_of(text, ""), "202 400 ");
        snprintf(text, sizeof(text), "%s\r\n%s%s", GOOD, GOOD, at_fault[i]);
        assert_string_equal(statuses_of(text, ""), "202 202 400 ");
        snprintf(text, sizeof(text), "%s%s\r\n", GOOD, "\r\n");
        assert_string_equal(statuses_of(text, at_fault[i]), "202 400 ");
    }
}

/* The request before is answered long after the bytes of the next one have come. */
static void test_behind_a_slow_one(void **state)
{
    (void)state;
    fakes->store_mode = FAKE_SLOW;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    static const char slow[] = "GET /api/dashboard/sales HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char good[] = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (size_t i = 0; i <= AT_FAULT_COUNT; i++) {
        const char *next = i < AT_FAULT_COUNT ? at_fault[i] : good;
        char text[1024];
        snprintf(text, sizeof(text), "%s%s", slow, next);
        int fd = http_send_raw(fixture, text, strlen(text));
        char byte;
        do {
            test_clock_advance(500);
            usleep(1000);
        } while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1);
        http_read_reply(fd, false, &reply);
        assert_int_equal(reply.status, 503);
        const char *second = strstr(reply.body, "HTTP/1.1 ");
        if (second == NULL) {
            http_read_reply(fd, false, &reply);
            assert_int_equal(reply.status, i < AT_FAULT_COUNT ? 400 : 200);
            assert_true(reply.closed);
        } else {
            assert_int_equal(atoi(second + 9), i < AT_FAULT_COUNT ? 400 : 200);
        }
        close(fd);
    }
}

static void test_chunked_is_the_last(void **state)
{
    (void)state;
    static const char chunked[] = POST "Transfer-Encoding: chunked\r\n\r\n"
                                       "10\r\n{\"product_name\":\r\nf\r\n\"a\",\"amount\":1}\r\n"
                                       "0\r\n\r\n";
    http_exchange(fixture, chunked, sizeof(chunked) - 1, &reply);
    assert_int_equal(reply.status, 202);
    assert_true(reply.closed);
    char text[1024];
    snprintf(text, sizeof(text), "%s%s%s", GOOD, chunked, GOOD);
    assert_string_equal(statuses_of(text, ""), "202 202 ");
    assert_string_equal(statuses_of(chunked, GOOD), "202 ");
    /* libh2o takes a length of 0 from this, and would go on with what is in the chunk. */
    assert_string_equal(statuses_of(POST "Transfer-Encoding: chunked\r\n\r\n0x22\r\n\r\n", GOOD),
                        "400 ");
}

static void test_legal_white_space(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "Content-Length:31",
        "Content-Length: \t 31 \t",
        "Content-Length: 00000000000000000000031",
        "Content-Length: 31\r\nExpect: 100-continue \t",
        "Content-Length: 31\r\nContent-Encoding: identity ",
        "Content-Length: 31\r\nIdempotency-Key: k \t",
        "Content-Length: 31\r\nIdempotency-Key: k",
    };
    char text[512];
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        snprintf(text, sizeof(text), POST "Connection: close \r\n%s\r\n\r\n" ORDER, headers[i]);
        bool expects = strstr(headers[i], "Expect") != NULL;
        assert_string_equal(statuses_of(text, ""), expects ? "100 202 " : "202 ");
    }
    assert_string_equal(
        statuses_of(POST "Transfer-Encoding: \tChunked \t\r\n\r\n1f\r\n" ORDER "\r\n0\r\n\r\n", ""),
        "202 ");
    assert_string_equal(
        statuses_of("POST /api/admin/refresh HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    "Authorization: Bearer s3cret \r\nContent-Length: 0\r\n\r\n",
                    ""),
        "200 ");
}

static void test_head_at_fault(void **state)
{
    (void)state;
    static const char *const requests[] = {"HEAD /livez HTTP/1.1\r\n\r\n",
                                           "\r\nHEAD /livez HTTP/1.1\r\n\r\n",
                                           "HEAD /livez HTTP/1.9\r\nHost: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        int fd = http_send_raw(fixture, requests[i], strlen(requests[i]));
        http_read_reply(fd, true, &reply);
        close(fd);
        assert_int_equal(reply.status, 400);
        assert_int_equal(reply.body_len, 0);
        assert_true(reply.closed);
    }
}

static void test_old_version(void **state)
{
    (void)state;
    static const char old[] = "GET /livez HTTP/1.0\r\n\r\n";
    http_exchange(fixture, old, sizeof(old) - 1, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(reply.closed);
    static const char kept[] = "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    http_exchange(fixture, kept, sizeof(kept) - 1, &reply);
    assert_int_equal(reply.status, 200);
    assert_false(reply.closed);
    assert_string_equal(statuses_of(kept, old), "200 200 ");
}

static void test_many_fields(void **state)
{
    (void)state;
    char text[2048] = "GET /livez HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 100; i++)
        strcat(text, "X: a\r\n");
    strcat(text, "\r\n");
    http_exchange(fixture, text, strlen(text), &reply);
    assert_problem(&reply, 431, "headers_too_large");
}

/* A head without an end is refused with the right status all the same. */
static void test_endless(void **state)
{
    (void)state;
    size_t len = REQUEST_HEAD_READ_MAX_BYTES;
    char *text = memory_new(len + 1);
    memset(text, 'a', len);
    memcpy(text, "GET /livez HTTP/1.1\r\nX: ", 24);
    http_exchange(fixture, text, len, &reply);
    assert_problem(&reply, 431, "headers_too_large");
    memcpy(text, "GET /aaaaaaaaaaaaaaaaaaaaaaaaa", 30);
    http_exchange(fixture, text, len, &reply);
    assert_problem(&reply, 414, "uri_too_long");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refused_at_once, reset),
        cmocka_unit_test_setup(test_nothing_follows, reset),
        cmocka_unit_test_setup(test_later_requests, reset),
        cmocka_unit_test_setup(test_behind_a_slow_one, reset),
        cmocka_unit_test_setup(test_chunked_is_the_last, reset),
        cmocka_unit_test_setup(test_legal_white_space, reset),
        cmocka_unit_test_setup(test_head_at_fault, reset),
        cmocka_unit_test_setup(test_old_version, reset),
        cmocka_unit_test_setup(test_many_fields, reset),
        cmocka_unit_test_setup(test_endless, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
