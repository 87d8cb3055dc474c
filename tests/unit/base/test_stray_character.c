#include "services/base/stray_character.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *what; /* NULL: nothing */
    } cases[] = {
        {"", 0, NULL},
        {"plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x9b\x92", 15, NULL},
        {"latin \xe9\xff", 8, NULL}, /* not UTF-8 */
        {"\xc2\xa0", 2, NULL},
        {"\0", 1, "a NUL (U+0000) at its beginning"},
        {"a\0", 2, "a NUL (U+0000) at its end"},
        {"a\tb", 3, "a tab (U+0009) in its middle"},
        {"a\nb", 3, "a line feed (U+000A) in its middle"},
        {"a\r", 2, "a carriage return (U+000D) at its end"},
        {"\x1a", 1, "a control character (U+001A) at its beginning"},
        {"a\x7f", 2, "a control character (U+007F) at its end"},
        {"a\xc2\x80", 3, "a control character (U+0080) at its end"},
        {"a\xc2\x9f", 3, "a control character (U+009F) at its end"},
        {"a\xe2\x80\xa8", 4, "a line separator (U+2028) at its end"},
        {"a\xe2\x80\xa9", 4, "a line separator (U+2029) at its end"},
        {"\xef\xbb\xbf", 3, "a byte order mark (U+FEFF) at its beginning"},
        {"a\xef\xbb\xbf", 4, "a byte order mark (U+FEFF) at its end"},
        {"\xff\xfe", 2, "a byte order mark of UTF-16 at its beginning; it must be UTF-8"},
        {"\xfe\xff\0a", 4, "a byte order mark of UTF-16 at its beginning; it must be UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char what[STRAY_CHARACTER_SIZE];
        bool found = stray_character_find(cases[i].text, cases[i].len, false, what);
        assert_int_equal(found, cases[i].what != NULL);
        if (found)
            assert_string_equal(what, cases[i].what);
    }
}

static void test_tabs(void **state)
{
    (void)state;
    char what[STRAY_CHARACTER_SIZE];
    assert_false(stray_character_find("a\tb", 3, true, what));
    assert_true(stray_character_find("a\tb\n", 4, true, what));
    assert_string_equal(what, "a line feed (U+000A) at its end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_tabs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
