#include "services/http/request_head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FINE REQUEST_HEAD_FINE
#define MALFORMED REQUEST_HEAD_MALFORMED
#define TOO_LARGE REQUEST_HEAD_TOO_LARGE
#define TARGET_TOO_LONG REQUEST_HEAD_TARGET_TOO_LONG

#define TEXT(literal) literal, sizeof(literal) - 1
#define LINE "POST /o HTTP/1.1\r\nHost: a\r\n"

/* One field line after a good request line and Host. */
#define FIELD(line) TEXT(LINE line "\r\n\r\n")

static const struct {
    const char *head;
    size_t len;
    enum request_head_fault expected;
} cases[] = {
    {TEXT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), FINE},
    {TEXT(LINE "\r\n"), FINE},
    /* what follows is not looked at */
    {TEXT(LINE "Content-Length: 4\r\n\r\n\n\0\r\n"), FINE},

    /* before it */
    {TEXT("\r\n" LINE "\r\n"), FINE},
    {TEXT("\r\n\r\n"), MALFORMED},
    {TEXT("\r\n\r\n" LINE "\r\n"), MALFORMED},
    {TEXT("\n" LINE "\r\n"), MALFORMED},
    {TEXT("\r" LINE "\r\n"), MALFORMED},
    {TEXT("\r\n\n" LINE "\r\n"), MALFORMED},
    {TEXT("\r\r\n" LINE "\r\n"), MALFORMED},
    {TEXT(" " LINE "\r\n"), MALFORMED},
    {TEXT("\r\n " LINE "\r\n"), MALFORMED},
    {TEXT("\0" LINE "\r\n"), MALFORMED},
    {TEXT("\xef\xbb\xbf" LINE "\r\n"), MALFORMED},

    /* line ends and controls */
    {TEXT("GET / HTTP/1.1\nHost: a\n\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\nHost: a\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\nHost: a\r\n\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\rHost: a\r\r"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), MALFORMED},
    {FIELD("X: a\rb"), MALFORMED},
    {FIELD("X: a\nb"), MALFORMED},
    {FIELD("X: a\r\r\nY: b"), MALFORMED},
    {FIELD("X: a\0b"), MALFORMED},
    {FIELD("X: a\x01"), MALFORMED},
    {FIELD("X: a\x1f"), MALFORMED},
    {FIELD("X: a\x7f"), MALFORMED},
    {FIELD("X: \x0b"), MALFORMED},
    {FIELD("X: a\tb"), FINE},
    {FIELD("X: \x80\xff"), FINE},

    /* request line */
    {TEXT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /~!|{} HTTP/1.1\r\nHost: a\r\n\r\n"), FINE},
    {TEXT("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("brew!#$%&'*+-.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n"), FINE},
    {TEXT(" / HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / \r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET /\r\n\r\n"), MALFORMED},
    {TEXT("GET\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.0\r\n\r\n"), FINE},
    {TEXT("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), FINE},
    {TEXT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/01.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / http/1.1\r\nHost: a\r\n\r\n"), MALFORMED},
    {TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), MALFORMED},

    /* targets; test_request_target.c has more */
    {TEXT("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), FINE},
    {TEXT("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), FINE},
    {TEXT("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), FINE},
    {TEXT("GET http:///o HTTP/1.1\r\nHost: a\r\n\r\n"), MALFORMED},

    /* names */
    {FIELD("X : a"), MALFORMED},
    {FIELD("X\t: a"), MALFORMED},
    {FIELD(": a"), MALFORMED},
    {FIELD("X"), MALFORMED},
    {FIELD("X Y: a"), MALFORMED},
    {FIELD("X(: a"), MALFORMED},
    {FIELD("X\x80: a"), MALFORMED},
    {FIELD("!#$%&'*+-.^_`|~09AZaz: a"), FINE},
    {FIELD("X:"), FINE},
    {FIELD("X::"), FINE},

    /* folds */
    {FIELD("X: a\r\n b"), MALFORMED},
    {FIELD("X: a\r\n\tb"), MALFORMED},
    {FIELD("X: a\r\n "), MALFORMED},
    {FIELD(" X: a"), MALFORMED},
    {FIELD("Content-Length: 3\r\n 4"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"), MALFORMED},

    /* hosts */
    {TEXT("GET / HTTP/1.1\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"), MALFORMED},
    {TEXT("GET http://a/ HTTP/1.1\r\n\r\n"), MALFORMED},
    {TEXT("GET / HTTP/1.1\r\nhOST:a\r\n\r\n"), FINE},
    {TEXT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), FINE},
    {TEXT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), MALFORMED},
    {FIELD("Host: a"), MALFORMED},
    {FIELD("host: b"), MALFORMED},
    {TEXT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), MALFORMED},

    /* lengths */
    {FIELD("Content-Length: 0"), FINE},
    {FIELD("content-length:5"), FINE},
    {FIELD("Content-Length:  5"), FINE},
    {FIELD("Content-Length: 5 "), FINE},
    {FIELD("Content-Length: \t5 \t"), FINE},
    {FIELD("Content-Length: 0005"), FINE},
    {FIELD("Content-Length: 0000000000000000000000005"), FINE},
    {FIELD("Content-Length: 9999999999999999999"), FINE},
    {FIELD("Content-Length: 10000000000000000000"), MALFORMED},
    {FIELD("Content-Length: 18446744073709551650"), MALFORMED},
    {FIELD("Content-Length:"), MALFORMED},
    {FIELD("Content-Length: "), MALFORMED},
    {FIELD("Content-Length: +5"), MALFORMED},
    {FIELD("Content-Length: -5"), MALFORMED},
    {FIELD("Content-Length: 5 5"), MALFORMED},
    {FIELD("Content-Length: 5, 5"), MALFORMED},
    {FIELD("Content-Length: 5,"), MALFORMED},
    {FIELD("Content-Length: 0x5"), MALFORMED},
    {FIELD("Content-Length: 5.0"), MALFORMED},
    {FIELD("Content-Length: 5e1"), MALFORMED},
    {FIELD("Content-Length: \"5\""), MALFORMED},
    {FIELD("Content-Length: five"), MALFORMED},
    {FIELD("Content-Length: \xb2"), MALFORMED},
    {FIELD("Content-Length: 5\r\nContent-Length: 5"), MALFORMED},
    {FIELD("Content-Length: 5\r\ncontent-length: 6"), MALFORMED},
    {FIELD("Content-Length: 5\r\nContent-Length-X: 6"), FINE},
    {FIELD("Content-Length: 5\r\nX: Content-Length: 6"), FINE},
    {FIELD("Content_Length: 5\r\nContent-Length: 6"), FINE},

    /* encodings */
    {FIELD("Transfer-Encoding: chunked"), FINE},
    {FIELD("transfer-encoding:\tCHUNKED "), FINE},
    {FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), MALFORMED},
    {FIELD("Transfer-Encoding: chunked\r\nContent-Length: 5"), MALFORMED},
    {FIELD("Content-Length: 0\r\nTransfer-Encoding: chunked"), MALFORMED},
    {FIELD("Transfer-Encoding: chunked, chunked"), MALFORMED},
    {FIELD("Transfer-Encoding: gzip, chunked"), MALFORMED},
    {FIELD("Transfer-Encoding: chunked;a=b"), MALFORMED},
    {FIELD("Transfer-Encoding: chunked,"), MALFORMED},
    {FIELD("Transfer-Encoding: identity"), MALFORMED},
    {FIELD("Transfer-Encoding: xchunked"), MALFORMED},
    {FIELD("Transfer-Encoding: \"chunked\""), MALFORMED},
    {FIELD("Transfer-Encoding:"), MALFORMED},
    {FIELD("Transfer-Encoding: \x0b"
           "chunked"),
     MALFORMED},
    {FIELD("Transfer-Encoding: \xa0"
           "chunked"),
     MALFORMED},
    {FIELD("Transfer-Encoding : chunked"), MALFORMED},
    {TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), MALFORMED},
    {TEXT("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), MALFORMED},
};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

static void test_table(void **state)
{
    (void)state;
    static struct request_head head;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        assert_true(request_head_read(cases[i].head, cases[i].len, 0, &head));
        if (head.fault != cases[i].expected)
            fail_msg("%.*s: fault %d", (int)cases[i].len, cases[i].head, (int)head.fault);
    }
}

/* However a head comes in, the verdict is the same; and there is none before the whole head is
 * there, but for what is wrong already. */
static void test_in_two_parts(void **state)
{
    (void)state;
    static struct request_head head;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        for (size_t seen = 0; seen < cases[i].len; seen++) {
            bool early = request_head_read(cases[i].head, seen, 0, &head);
            if (!early)
                assert_true(request_head_read(cases[i].head, cases[i].len, seen, &head));
            assert_int_equal(head.fault, cases[i].expected);
            assert_true(!early || head.fault == MALFORMED || seen >= head.len);
        }
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    static struct request_head head;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        size_t len = 0;
        do {
            assert_true(len < cases[i].len);
            len++;
        } while (!request_head_read(cases[i].head, len, len - 1, &head));
        assert_int_equal(head.fault, cases[i].expected);
    }
}

static void assert_text(struct request_text text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.base, expected, text.len);
}

static void test_parts(void **state)
{
    (void)state;
    static struct request_head head;
    static const char bytes[] = "\r\nPOST /a?b HTTP/1.1\r\nHost:a\r\nX: \t b c \t\r\n"
                                "Content-Length: 003\r\nY:\r\nZ: \r\n\r\nabcGET";
    assert_true(request_head_read(bytes, sizeof(bytes) - 1, 0, &head));
    assert_int_equal(head.fault, FINE);
    assert_int_equal(head.len, sizeof(bytes) - 1 - strlen("abcGET"));
    assert_text(head.method, "POST");
    assert_text(head.target, "/a?b");
    assert_int_equal(head.minor_version, 1);
    assert_false(head.chunked);
    static const char *const fields[][2] = {
        {"Host", "a"}, {"X", "b c"}, {"Content-Length", "3"}, {"Y", ""}, {"Z", ""}};
    assert_int_equal(head.field_count, 5);
    for (size_t i = 0; i < head.field_count; i++) {
        assert_text(head.fields[i].name, fields[i][0]);
        assert_text(head.fields[i].value, fields[i][1]);
    }

    static const char chunked[] = "PUT * HTTP/1.1\r\nHost:\r\nTransfer-Encoding: Chunked\r\n\r\n";
    assert_true(request_head_read(chunked, sizeof(chunked) - 1, 0, &head));
    assert_true(head.fault == FINE && head.chunked);

    static const char old[] = "GET / HTTP/1.0\r\n\r\n";
    assert_true(request_head_read(old, sizeof(old) - 1, 0, &head));
    assert_true(head.fault == FINE && head.minor_version == 0 && head.field_count == 0);
}

static void test_unfinished(void **state)
{
    (void)state;
    static struct request_head head;
    static const char *const begins[] = {
        "",   "\r",      "\r\n",  "\r\n\r", "G", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n",
        LINE, LINE "\r", LINE "X"};
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        assert_false(request_head_read(begins[i], strlen(begins[i]), 0, &head));
}

/* A head of `len` bytes, of which the target has `target_len`; a field fills it up. `complete`:
 * with its end. */
static enum request_head_fault fault_of_size(const char *before, size_t target_len, size_t len,
                                             bool complete)
{
    static struct request_head head;
    size_t before_len = strlen(before);
    char *bytes = malloc(before_len + len);
    memset(bytes, 'a', before_len + len);
    memcpy(bytes, before, before_len);
    memcpy(bytes + before_len, "GET /", 5);
    if (before_len + 4 + target_len < len)
        memcpy(bytes + before_len + 4 + target_len, TEXT(" HTTP/1.1\r\nHost: a\r\nX: "));
    if (complete)
        memcpy(bytes + before_len + len - 4, "\r\n\r\n", 4);
    bool done = request_head_read(bytes, before_len + len, 0, &head);
    free(bytes);
    assert_true(done);
    return head.fault;
}

static void test_size(void **state)
{
    (void)state;
    static const char *const befores[] = {"", "\r\n"};
    for (size_t i = 0; i < 2; i++) {
        const char *before = befores[i];
        size_t most = REQUEST_HEAD_MAX_BYTES, target = REQUEST_TARGET_MAX_BYTES;
        assert_int_equal(fault_of_size(before, 1, most, true), FINE);
        assert_int_equal(fault_of_size(before, 1, most + 1, true), TOO_LARGE);
        assert_int_equal(fault_of_size(before, 1, 400000, true), TOO_LARGE);
        assert_int_equal(fault_of_size(before, target, most, true), FINE);
        assert_int_equal(fault_of_size(before, target + 1, most, true), TARGET_TOO_LONG);
        assert_int_equal(fault_of_size(before, target + 1, 400000, true), TARGET_TOO_LONG);
        assert_int_equal(fault_of_size(before, 300000, 300100, true), TARGET_TOO_LONG);
        /* A head that does not end has a verdict, too. */
        size_t longest = REQUEST_HEAD_READ_MAX_BYTES;
        assert_int_equal(fault_of_size(before, 1, longest, false), TOO_LARGE);
        assert_int_equal(fault_of_size(before, longest, longest, false), TARGET_TOO_LONG);
    }
    static struct request_head head;
    char *bytes = malloc(REQUEST_HEAD_READ_MAX_BYTES);
    memset(bytes, 'a', REQUEST_HEAD_READ_MAX_BYTES);
    assert_false(request_head_read(bytes, REQUEST_HEAD_READ_MAX_BYTES - 1, 0, &head));
    assert_true(request_head_read(bytes, REQUEST_HEAD_READ_MAX_BYTES, 0, &head));
    assert_int_equal(head.fault, TOO_LARGE);
    free(bytes);
}

static void test_each_byte_at_each_place(void **state)
{
    (void)state;
    static struct request_head head;
    char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
    char *value = strstr(bytes, "aaa");
    for (size_t place = 0; place < 24; place++) {
        for (unsigned c = 0; c < 256; c++) {
            bool may_be = c == '\t' || (c >= ' ' && c != 0x7f);
            value[place] = (char)c;
            assert_true(request_head_read(bytes, sizeof(bytes) - 1, 0, &head));
            assert_int_equal(head.fault, may_be ? FINE : MALFORMED);
        }
        value[place] = 'a';
    }
}

static void test_number_of_fields(void **state)
{
    (void)state;
    static struct request_head head;
    for (size_t count = REQUEST_HEAD_MAX_FIELDS; count <= REQUEST_HEAD_MAX_FIELDS + 1; count++) {
        char bytes[1024] = "GET / HTTP/1.1\r\nHost: a\r\n";
        for (size_t i = 1; i < count; i++)
            strcat(bytes, "X: a\r\n");
        strcat(bytes, "\r\n");
        assert_true(request_head_read(bytes, strlen(bytes), 0, &head));
        assert_int_equal(head.fault, count <= REQUEST_HEAD_MAX_FIELDS ? FINE : TOO_LARGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_in_two_parts),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_each_byte_at_each_place),
        cmocka_unit_test(test_number_of_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
