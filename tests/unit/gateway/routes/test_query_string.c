#include "services/gateway/routes/query_string.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        enum query_result expected;
        const char *value;
    } cases[] = {
        {"q=laptop", QUERY_FOUND, "laptop"},
        {"size=1&q=laptop&from=2", QUERY_FOUND, "laptop"},
        {"q=gaming+laptop", QUERY_FOUND, "gaming laptop"},
        {"q=%C3%A4%2b%26", QUERY_FOUND, "\xc3\xa4+&"},
        {"q=a&q=b", QUERY_FOUND, "a"},
        {"q=", QUERY_FOUND, ""},
        {"q=a=b", QUERY_FOUND, "a=b"},
        {"&&q=a", QUERY_FOUND, "a"},
        {"q=%41", QUERY_FOUND, "A"},
        {"", QUERY_ABSENT, NULL},
        {"q", QUERY_ABSENT, NULL},
        {"Q=a", QUERY_ABSENT, NULL},
        {"qq=a&xq=b", QUERY_ABSENT, NULL},
        {"q=%", QUERY_MALFORMED, NULL},
        {"q=%4", QUERY_MALFORMED, NULL},
        {"q=%4&from=1", QUERY_MALFORMED, NULL},
        {"q=%zz", QUERY_MALFORMED, NULL},
        {"q=0123456789abcdefX", QUERY_MALFORMED, NULL}, /* longer than the buffer */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char value[16];
        size_t len = 0;
        assert_int_equal(
            query_text(cases[i].query, strlen(cases[i].query), "q", value, sizeof(value), &len),
            cases[i].expected);
        if (cases[i].value != NULL) {
            assert_int_equal(len, strlen(cases[i].value));
            assert_memory_equal(value, cases[i].value, len);
        }
    }
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        enum query_result expected;
        unsigned value;
    } cases[] = {
        {"n=1", QUERY_FOUND, 1},
        {"n=100", QUERY_FOUND, 100},
        {"n=007", QUERY_FOUND, 7},
        {"", QUERY_ABSENT, 42},
        {"n=", QUERY_MALFORMED, 42},
        {"n=0", QUERY_MALFORMED, 42},
        {"n=101", QUERY_MALFORMED, 42},
        {"n=-1", QUERY_MALFORMED, 42},
        {"n=+1", QUERY_MALFORMED, 42},
        {"n=1.0", QUERY_MALFORMED, 42},
        {"n=1e1", QUERY_MALFORMED, 42},
        {"n=ten", QUERY_MALFORMED, 42},
        {"n=4294967297", QUERY_MALFORMED, 42},
        {"n=18446744073709551617", QUERY_MALFORMED, 42},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned value = 42;
        assert_int_equal(query_number(cases[i].query, strlen(cases[i].query), "n", 1, 100, &value),
                         cases[i].expected);
        assert_int_equal(value, cases[i].value);
    }
}

static void test_known_names(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "bc", NULL};
    static const char *const known[] = {"", "a=", "a=1&bc=2", "bc=a=1&a=&"};
    static const char *const unknown[] = {"a",       "&",         "=",     "b=1", "bcd=1",
                                          "a=1&a=2", "a=1&&bc=1", "%61=1", "A=1"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_true(query_names_known(known[i], strlen(known[i]), names));
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_false(query_names_known(unknown[i], strlen(unknown[i]), names));
    assert_true(query_names_known(NULL, 0, names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_known_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
