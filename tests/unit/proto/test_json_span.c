#include "proto/json_span.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

static struct json_span span_of(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static void assert_span(const char *json, struct json_span span, const char *expected)
{
    if (span.len != strlen(expected) || memcmp(span.text, expected, span.len) != 0)
        fail_msg("%s: \"%.*s\", not \"%s\"", json, (int)span.len, span.text, expected);
}

static void test_member(void **state)
{
    (void)state;
    static const struct {
        const char *json, *value;
    } cases[] = {
        {"{}", ""},
        {" { } ", ""},
        {"{\"amount\":1}", "1"},
        {" {\t\"amount\"\r:\n 1.50e+2 \t} ", "1.50e+2"},
        {"{\"a\":2,\"amount\":-1,\"b\":3}", "-1"},
        {"{\"a\":2 , \"amount\" : 1 , \"b\":3}", "1"},
        {"{\"amount\":[1, {\"x\":2}] ,\"b\":3}", "[1, {\"x\":2}]"},
        {"{\"amount\":\"a,b}\\\"c\",\"b\":3}", "\"a,b}\\\"c\""},
        {"{\"amount\":\"\\\\\",\"b\":3}", "\"\\\\\""},
        /* the same name elsewhere */
        {"{\"x\":{\"amount\":2},\"amount\":1}", "1"},
        {"{\"x\":[{\"amount\":2},[{\"amount\":3}]],\"amount\":1}", "1"},
        {"{\"x\":\"\\\",\\\"amount\\\":2,\",\"amount\":1}", "1"},
        {"{\"x\\\",\\\"amount\":2,\"amount\":1}", "1"},
        {"{\"x\":\"amount\",\"amount\":1}", "1"},
        {"{\"amount\\\\\":2,\"amount\":1}", "1"},
        {"{\"x\":{\"amount\":2}}", ""},
        {"{\"x\":\"amount\"}", ""},
        /* nearly the name */
        {"{\"amoun\":2,\"amounts\":3,\"\":4,\"Amount\":5,\" amount\":6,\"amount\":1}", "1"},
        {"{\"amoun\\t\":2,\"\\\\u0061mount\":3,\"amount\":1}", "1"},
        {"{\"\\u0161mount\":2,\"\\u6161mount\":3,\"amount\\u0020\":4,\"amount\":1}", "1"},
        /* the name with escapes */
        {"{\"\\u0061mount\":1}", "1"},
        {"{\"a\\u006dount\":1}", "1"},
        {"{\"\\u0061\\u006D\\u006f\\u0075\\u006E\\u0074\":1}", "1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_span(cases[i].json, json_span_member(span_of(cases[i].json), "amount"),
                    cases[i].value);
}

static void test_items(void **state)
{
    (void)state;
    static const struct {
        const char *json, *items[4];
    } cases[] = {
        {"[]", {NULL}},
        {" [ ] ", {NULL}},
        {"[1]", {"1", NULL}},
        {"[ {\"a\":[1,2]} , [3,[4]],\"],[\" ]", {"{\"a\":[1,2]}", "[3,[4]]", "\"],[\"", NULL}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_span rest = span_of(cases[i].json), item;
        for (size_t n = 0; cases[i].items[n] != NULL; n++) {
            assert_true(json_span_next(&rest, &item));
            assert_span(cases[i].json, item, cases[i].items[n]);
        }
        assert_false(json_span_next(&rest, &item));
    }
}

/* No parser has taken these, so what is found does not matter; where it is looked for, does. */
static void test_a_cut_text_is_not_read_past_its_end(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"x\\\"\":[{\"y\":\"\\\\\"},2],\"\\u0061mount\":[1,{\"z\":[]}],\"\\u0061\":0} ]},";
    for (size_t len = 0; len < sizeof whole; len++)
        for (size_t first = 0; first <= len; first++) {
            char *part = malloc(len - first + 1); /* on the heap: AddressSanitizer sees its end */
            memcpy(part + 1, whole + first, len - first);
            struct json_span rest = {part + 1, len - first}, entry;
            struct json_span found = json_span_member(rest, "amount");
            assert_true(found.len <= len - first);
            while (json_span_next(&rest, &entry))
                assert_true(entry.text > part && entry.text + entry.len <= part + 1 + len - first);
            free(part);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_member),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_a_cut_text_is_not_read_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
