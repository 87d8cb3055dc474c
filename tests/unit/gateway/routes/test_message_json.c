/* Properties in JSON: every type of field, and bytes that mean harm. */
#include "services/gateway/routes/message_json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_json(const void *bytes, size_t len, const char *expected)
{
    json_t *json = message_json(bytes, len);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

#define ASSERT_JSON(bytes, expected) assert_json(bytes, sizeof(bytes) - 1, expected)

static void test_properties(void **state)
{
    (void)state;
    ASSERT_JSON("\0\0", "{}");
    ASSERT_JSON("\xdb\xe0\x01"
                "a\x02zz\x02\x07\x01" // content_type, content_encoding, delivery_mode, priority
                "r\x01"
                "e\x02id\0\0\0\0\0\0\0\x01\x01t",
                "{\"content_type\":\"a\",\"content_encoding\":\"zz\",\"reply_to\":\"r\","
                "\"expiration\":\"e\",\"message_id\":\"id\",\"type\":\"t\",\"delivery_mode\":2,"
                "\"priority\":7,\"timestamp\":\"1970-01-01T00:00:01Z\"}");
}

/* Headers alone, of a table of these fields. */
static void assert_headers(const char *fields, size_t len, const char *expected)
{
    unsigned char *bytes = malloc(len + 6);
    assert_non_null(bytes);
    bytes[0] = 0x20, bytes[1] = 0;
    for (int i = 0; i < 4; i++)
        bytes[2 + i] = (unsigned char)(len >> (24 - 8 * i));
    memcpy(bytes + 6, fields, len);
    if (expected != NULL)
        assert_json(bytes, len + 6, expected);
    else
        json_decref(message_json(bytes, len + 6));
    free(bytes);
}

#define ASSERT_HEADERS(fields, expected)                                                           \
    assert_headers(fields, sizeof(fields) - 1, "{\"headers\":" expected "}")

static void test_types(void **state)
{
    (void)state;
    ASSERT_HEADERS("\x01"
                   "at\x01\x01"
                   "bt\0",
                   "{\"a\":true,\"b\":false}");
    ASSERT_HEADERS("\x01"
                   "ab\xff\x01"
                   "bB\xff",
                   "{\"a\":-1,\"b\":255}");
    ASSERT_HEADERS("\x01"
                   "as\xff\xfe\x01"
                   "bu\xff\xfe",
                   "{\"a\":-2,\"b\":65534}");
    ASSERT_HEADERS("\x01"
                   "aI\xff\xff\xff\xfe\x01"
                   "bi\xff\xff\xff\xfe",
                   "{\"a\":-2,\"b\":4294967294}");
    ASSERT_HEADERS("\x01"
                   "al\xff\xff\xff\xff\xff\xff\xff\xfe\x01"
                   "bL\xff\xff\xff\xff\xff\xff\xff\xfe",
                   "{\"a\":-2,\"b\":\"18446744073709551614\"}");
    ASSERT_HEADERS("\x01"
                   "af\x3f\xc0\0\0\x01"
                   "bd\xbf\xf8\0\0\0\0\0\0",
                   "{\"a\":1.5,\"b\":-1.5}");
    ASSERT_HEADERS("\x01"
                   "af\x7f\xc0\0\0\x01"
                   "bd\xff\xf0\0\0\0\0\0\0",
                   "{\"a\":\"nan\",\"b\":\"-inf\"}");
    ASSERT_HEADERS("\x01"
                   "aD\x02\xff\xff\xff\xf4",
                   "{\"a\":\"-12e-2\"}");
    ASSERT_HEADERS("\x01"
                   "aT\0\0\0\0\0\0\0\0\x01"
                   "bT\xff\xff\xff\xff\xff\xff\xff\xff",
                   "{\"a\":\"1970-01-01T00:00:00Z\",\"b\":\"18446744073709551615\"}");
    ASSERT_HEADERS("\x01"
                   "aV\x01"
                   "bS\0\0\0\x02ok\x01"
                   "cx\0\0\0\x01\xff\x01"
                   "dS\0\0\0\x02"
                   "a\0",
                   "{\"a\":null,\"b\":\"ok\",\"c\":{\"base64\":\"/w==\"},"
                   "\"d\":{\"base64\":\"YQA=\"}}");
    ASSERT_HEADERS("\x01"
                   "aA\0\0\0\x03t\x01V\x01"
                   "bF\0\0\0\x03\x01"
                   "cV",
                   "{\"a\":[true,null],\"b\":{\"c\":null}}");
    ASSERT_HEADERS("\x02\xff\x61V\x02"
                   "a\0V\0V",
                   "{\"?a\":null,\"a?\":null,\"\":null}");
    ASSERT_HEADERS("\x01"
                   "aV\x01"
                   "at\x01",
                   "{\"a\":true}");
}

static void test_hostile(void **state)
{
    (void)state;
    ASSERT_JSON("", "{\"cut\":true}");
    ASSERT_JSON("\xff", "{\"cut\":true}");
    ASSERT_JSON("\0\x01\0\x01", "{\"cut\":true}");
    ASSERT_JSON("\x20\0\xff\xff\xff\xff", "{\"cut\":true}");
    assert_headers("\x01"
                   "a?x",
                   4, "{\"headers\":{},\"cut\":true}");
    assert_headers("\x01"
                   "aS\xff\xff\xff\xff"
                   "b",
                   8, "{\"headers\":{},\"cut\":true}");

    /* A million levels, and a million values. */
    size_t len = 5 << 20;
    char *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t at = 0; at + 5 <= len; at += 5) {
        size_t inner = len - at - 5;
        bytes[at] = 'A';
        for (int i = 0; i < 4; i++)
            bytes[at + 1 + (size_t)i] = (char)(inner >> (24 - 8 * i));
    }
    char *table = malloc(len + 2);
    assert_non_null(table);
    memcpy(table, "\x01x", 2);
    memcpy(table + 2, bytes, len);
    assert_headers(table, len + 2, "{\"headers\":{\"x\":[[[[[[[[null]]]]]]]]},\"cut\":true}");
    for (size_t at = 0; at + 2 <= len; at += 2)
        memcpy(bytes + at, "\0V", 2);
    assert_headers(bytes, len, "{\"headers\":{\"\":null},\"cut\":true}");

    /* Whatever they are. */
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        unsigned char noise[64];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (unsigned char)((random = random * 1664525u + 1013904223u) >> 24) &
                       (round % 2 ? 0xff : 0x7f);
        assert_headers((const char *)noise, sizeof(noise), NULL);
    }
    free(table);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
