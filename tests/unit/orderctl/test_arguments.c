#include "proto/timestamp.h"
#include "services/orderctl/arguments.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_instants(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *instant; /* NULL: refused */
    } cases[] = {
        {"2026-11-29T22:55:39Z", "2026-11-29T22:55:39Z"},
        {"2026-11-29T22:55:39.5+01:00", "2026-11-29T21:55:39.5Z"},
        {"2026-11-29", "2026-11-29T00:00:00Z"},
        {"0", "2026-11-30T12:00:00Z"},
        {"90s", "2026-11-30T11:58:30Z"},
        {"1h30m", "2026-11-30T10:30:00Z"},
        {"7d", "2026-11-23T12:00:00Z"},
        {"", NULL},
        {"2026-11-31", NULL},
        {"2026-1-29", NULL},
        {"20261129aa", NULL},
        {"yesterday", NULL},
        {"-2h", NULL},
        {"2", NULL},
        {"2 h", NULL},
        {"106751991167d", NULL},
        {"9999999d", NULL}, /* before the year 1 */
        {"2026-11-29T22:55:39", NULL},
    };
    int64_t now_us;
    assert_int_equal(timestamp_parse("2026-11-30T12:00:00Z", 20, &now_us), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = 17;
        char text[TIMESTAMP_TEXT_SIZE];
        int failed = instant_parse(cases[i].text, now_us, &us);
        if (failed != (cases[i].instant != NULL ? 0 : -1))
            fail_msg("%s: %d", cases[i].text, failed);
        if (failed) {
            assert_int_equal(us, 17);
        } else {
            (void)timestamp_format(us, text);
            assert_string_equal(text, cases[i].instant);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_instants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
