#include "proto/error.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static void test_a_message_that_is_cut_says_so(void **state)
{
    (void)state;
    enum { ROOM = sizeof((struct error *)NULL)->message - 1 };
    char text[ROOM + 8];
    struct error err;
    memset(text, 'x', sizeof text);
    text[ROOM] = '\0';
    error_set(&err, "%s", text);
    assert_string_equal(err.message, text);

    error_set(&err, "%s%s", text, "x");
    assert_int_equal(strlen(err.message), ROOM);
    assert_string_equal(err.message + ROOM - 4, "x...");

    static const char euro[] = "\xe2\x82\xac"; /* not cut through */
    for (size_t at = ROOM - 8; at <= ROOM - 3; at++) {
        memset(text, 'x', sizeof text);
        memcpy(text + at, euro, strlen(euro));
        text[sizeof text - 1] = '\0';
        error_set(&err, "%s", text);
        const char *dots = strstr(err.message, "...");
        assert_non_null(dots);
        assert_string_equal(dots, "...");
        assert_true(dots[-1] == 'x' || memcmp(dots - 3, euro, 3) == 0);
    }
    error_set(NULL, "%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_that_is_cut_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
