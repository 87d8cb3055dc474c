/* The cases of the specification (W3C Trace Context, Level 1) and of its validation tests
 * (github.com/w3c/trace-context, test/test.py). */
#include "proto/trace_context.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define EXAMPLE "00-" TRACE "-" PARENT "-01"

static const uint8_t zeros[16];

static void test_traceparent(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written; /* NULL: refused */
    } cases[] = {
        {EXAMPLE, EXAMPLE},
        {"00-" TRACE "-" PARENT "-00", "00-" TRACE "-" PARENT "-00"},
        /* flags that Level 1 does not know are set to zero */
        {"00-" TRACE "-" PARENT "-03", "00-" TRACE "-" PARENT "-01"},
        {"00-" TRACE "-" PARENT "-fe", "00-" TRACE "-" PARENT "-00"},
        /* version 00 has exactly this length */
        {"", NULL},
        {"00", NULL},
        {"00-" TRACE "-" PARENT, NULL},
        {"00-" TRACE "-" PARENT "-", NULL},
        {"00-" TRACE "-" PARENT "-0", NULL},
        {"00-" TRACE "-" PARENT "-01 ", NULL},
        {" 00-" TRACE "-" PARENT "-01", NULL},
        {"00-" TRACE "-" PARENT "-01-", NULL},
        {"00-" TRACE "-" PARENT "-01.", NULL},
        {"00-" TRACE "-" PARENT "-01-what-the-future-will-be-like", NULL},
        /* higher versions */
        {"cc-" TRACE "-" PARENT "-01", EXAMPLE},
        {"cc-" TRACE "-" PARENT "-01-", EXAMPLE},
        {"cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like", EXAMPLE},
        {"cc-" TRACE "-" PARENT "-01.what-the-future-will-not-be-like", NULL},
        {"cc-" TRACE "-" PARENT "-011", NULL},
        {"01-" TRACE "-" PARENT "-0", NULL},
        /* versions that are none */
        {"ff-" TRACE "-" PARENT "-01", NULL},
        {"0-" TRACE "-" PARENT "-011", NULL},
        {".0-" TRACE "-" PARENT "-01", NULL},
        {"0.-" TRACE "-" PARENT "-01", NULL},
        {"FE-" TRACE "-" PARENT "-01", NULL},
        /* trace id */
        {"00-00000000000000000000000000000000-" PARENT "-01", NULL},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
        {"00-.bf92f3577b34da6a3ce929d0e0e4736-" PARENT "-01", NULL},
        {"00-4bf92f3577b34da6a3ce929d0e0e473.-" PARENT "-01", NULL},
        {"00-4bf92f3577b34da6a3ce929d0e0e47366-" PARENT "-01", NULL},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-011", NULL},
        /* parent id */
        {"00-" TRACE "-0000000000000000-01", NULL},
        {"00-" TRACE "-00F067AA0BA902B7-01", NULL},
        {"00-" TRACE "-.0f067aa0ba902b7-01", NULL},
        {"00-" TRACE "-00f067aa0ba902b-011", NULL},
        /* flags and dashes */
        {"00-" TRACE "-" PARENT "-.0", NULL},
        {"00-" TRACE "-" PARENT "-0.", NULL},
        {"00-" TRACE "-" PARENT "-0A", NULL},
        {"00_" TRACE "-" PARENT "-01", NULL},
        {"00-" TRACE "_" PARENT "-01", NULL},
        {"00-" TRACE "-" PARENT "_01", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trace_context trace = {.parent_id = "before"};
        int result = traceparent_parse(cases[i].text, strlen(cases[i].text), &trace);
        if ((result == 0) != (cases[i].written != NULL))
            fail_msg("%s: %d", cases[i].text, result);
        if (result != 0) {
            assert_string_equal((const char *)trace.parent_id, "before"); /* untouched */
            continue;
        }
        char text[TRACEPARENT_LEN + 1], id[TRACE_ID_TEXT_LEN + 1];
        traceparent_format(&trace, text);
        assert_string_equal(text, cases[i].written);
        trace_id_format(&trace.id, id);
        assert_string_equal(id, TRACE);
        assert_int_equal(trace.state_len, 0);
    }
    struct trace_context trace;
    assert_int_equal(traceparent_parse("00-" TRACE "-" PARENT "-0\0", TRACEPARENT_LEN, &trace), -1);
}

#define TEN(text) text text text text text text text text text text
#define Z240 TEN(TEN("zz")) TEN("zzzz") /* 200 + 40 */

static void test_tracestate(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
        {"foo=1", true},
        {"foo=1,bar=2", true},
        {"foo=1 \t , \t bar=2, \t baz=3", true},
        {"foo=1,", true}, /* empty members are allowed */
        {",foo=1,,\t,bar=2", true},
        {"foo=1,foo=2", true}, /* the specification leaves to others which one counts */
        {"foo= 1", true},
        {"foo=1\t", true},
        {"\t foo=1", true},
        {"foo=a b", true},
        {"", false},
        {" ", false},
        {",", false},
        {"foo", false},
        {"foo=", false},
        {"foo= ", false},
        {"=1", false},
        {"foo =1", false},
        {"FOO=1", false},
        {"foo.bar=1", false},
        {"foo=1=2", false},
        {"foo=\x7f", false},
        {"foo=\xc3\xa4", false},
        {"foo=a\tb", false},
        {"foo=1,bar", false},
        {"foo@=1,bar=2", false},
        {"@foo=1,bar=2", false},
        {"foo@@bar=1,bar=2", false},
        {"foo@bar@baz=1,bar=2", false},
        {"fw529a3039@dt=FfIKAQ", true},
        {"0fw@dt=1", true},
        {"0fw=1", false}, /* Level 1: a key without tenant begins with a letter */
        {"fw@0dt=1", false},
        {"abcdefghijklmnopqrstuvwxyz0123456789_-*/= "
         "!\"#$%&'()*+-./0123456789:;<>?@ABCXYZ[\\]^_`az{|}~",
         true},
        {"z" Z240 "z=1", true},
        {"z" Z240 "zzzzzzzzzzzzzzz=1", true},   /* a key of 256 bytes */
        {"z" Z240 "zzzzzzzzzzzzzzzz=1", false}, /* of 257 */
        {"z" Z240 "@vvvvvvvvvvvvvv=1", true},   /* 241 and 14 bytes */
        {"zz" Z240 "@vvvvvvvvvvvvvv=1", false},
        {"t@vvvvvvvvvvvvvvv=1", false},
        {"a=z" Z240 "zzzzzzzzzzzzzzz", true}, /* a value of 256 bytes */
        {"a=z" Z240 "zzzzzzzzzzzzzzzz", false},
        {"a=" Z240 ",b=" Z240 ",cccc=" TEN("zz") "z", true}, /* 512 bytes */
        {"a=" Z240 ",b=" Z240 ",cccc=" TEN("zz") "zz", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (tracestate_valid(cases[i].text, strlen(cases[i].text)) != cases[i].valid)
            fail_msg("case %zu: %s", i, cases[i].text);
    assert_false(tracestate_valid("a\0b=1", 5));
    assert_false(tracestate_valid("a=\0", 3));

    char members[256];
    size_t len = 0;
    for (int i = 0; i < 33; i++) {
        len += (size_t)snprintf(members + len, sizeof members - len, "k%d=1,", i);
        assert_int_equal(tracestate_valid(members, len), i < 32);
    }
}

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *traceparent, *tracestate;
        bool taken;
        size_t state_len;
    } cases[] = {
        {EXAMPLE, "foo=1", true, 5}, {EXAMPLE, "", true, 0},
        {EXAMPLE, "foo", true, 0}, /* traceparent stays */
        {"", "foo=1", false, 0},     {"00-" TRACE "-" PARENT "-0", "foo=1", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *parent = cases[i].traceparent, *tracestate = cases[i].tracestate;
        struct trace_context trace =
            trace_context_read(parent, strlen(parent), tracestate, strlen(tracestate));
        char text[TRACEPARENT_LEN + 1];
        traceparent_format(&trace, text);
        assert_int_equal(strcmp(text, EXAMPLE) == 0, cases[i].taken);
        assert_int_equal(trace.state_len, cases[i].state_len);
        if (trace.state_len > 0)
            assert_ptr_equal(trace.state, tracestate);
    }
}

static void test_begin(void **state)
{
    (void)state;
    enum { TRACES = 1000 }; /* more than the random bytes that are fetched at once */
    static struct trace_context traces[TRACES];
    for (size_t i = 0; i < TRACES; i++) {
        traces[i] = trace_context_begin();
        assert_false(traces[i].sampled);
        assert_int_equal(traces[i].state_len, 0);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(&traces[i].id, &traces[j].id, sizeof traces[i].id);
            assert_memory_not_equal(traces[i].parent_id, traces[j].parent_id, 8);
        }
    }
    assert_memory_not_equal(traces[0].id.bytes, zeros, 16);

    struct trace_context trace;
    assert_int_equal(traceparent_parse(EXAMPLE, TRACEPARENT_LEN, &trace), 0);
    struct trace_context before = trace;
    trace_context_take_part(&trace);
    assert_memory_equal(&trace.id, &before.id, sizeof trace.id);
    assert_memory_not_equal(trace.parent_id, before.parent_id, 8);
    assert_true(trace.sampled);
}

static void test_no_id(void **state)
{
    (void)state;
    char text[TRACE_ID_TEXT_LEN + 1] = "before";
    trace_id_format(&(struct trace_id){{0}}, text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent), cmocka_unit_test(test_tracestate),
        cmocka_unit_test(test_read),        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_no_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
