#include "services/runtime/request_head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum request_head_fault expected;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", REQUEST_HEAD_FINE},
        {"GET / HTTP/1.1\n\n", REQUEST_HEAD_FINE},
        {"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", REQUEST_HEAD_FINE},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", REQUEST_HEAD_FINE},
        {"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
         REQUEST_HEAD_MALFORMED},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\ncontent-length: 6\r\n\r\nhello",
         REQUEST_HEAD_MALFORMED},
        {"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
         REQUEST_HEAD_MALFORMED},
        {"POST / HTTP/1.1\ntransfer-encoding: chunked\ntransfer-encoding: chunked\n\n",
         REQUEST_HEAD_MALFORMED},
        /* not that header */
        {"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length-x: 5\r\n\r\n", REQUEST_HEAD_FINE},
        {"POST / HTTP/1.1\r\ncontent-length: 5\r\nx: content-length: 5\r\n\r\n", REQUEST_HEAD_FINE},
        /* the body is not looked at */
        {"POST / HTTP/1.1\r\ncontent-length: 40\r\n\r\n\ncontent-length: 1\r\n", REQUEST_HEAD_FINE},
        {"", REQUEST_HEAD_TOO_LARGE},
        {"GET / HTTP/1.1\r\nhost: x\r\n", REQUEST_HEAD_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(request_head_check(cases[i].head, strlen(cases[i].head)),
                         cases[i].expected);
}

static void test_size(void **state)
{
    (void)state;
    static const char begin[] = "GET / HTTP/1.1\r\nx: ";
    char *head = malloc(REQUEST_HEAD_MAX_BYTES + 1);
    memset(head, 'a', REQUEST_HEAD_MAX_BYTES + 1);
    memcpy(head, begin, sizeof(begin) - 1);

    memcpy(head + REQUEST_HEAD_MAX_BYTES - 4, "\r\n\r\n", 4);
    assert_int_equal(request_head_check(head, REQUEST_HEAD_MAX_BYTES), REQUEST_HEAD_FINE);
    assert_int_equal(request_head_check(head, REQUEST_HEAD_MAX_BYTES + 1), REQUEST_HEAD_FINE);

    memcpy(head + REQUEST_HEAD_MAX_BYTES - 4, "a\r\n\r\n", 5);
    assert_int_equal(request_head_check(head, REQUEST_HEAD_MAX_BYTES + 1), REQUEST_HEAD_TOO_LARGE);
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
