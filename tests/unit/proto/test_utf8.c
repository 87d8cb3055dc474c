/* Each boundary of RFC 3629, section 4, from both sides. */
#include "proto/utf8.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t character;
        size_t len;
    } cases[] = {
        {"a", 'a', 1},
        {"\x7f", 0x7f, 1},
        {"\xc2\x80", 0x80, 2},
        {"\xdf\xbf", 0x7ff, 2},
        {"\xe0\xa0\x80", 0x800, 3},
        {"\xed\x9f\xbf", 0xd7ff, 3},
        {"\xee\x80\x80", 0xe000, 3},
        {"\xef\xbf\xbd", 0xfffd, 3}, /* the replacement character itself is valid */
        {"\xf0\x90\x80\x80", 0x10000, 4},
        {"\xf4\x8f\xbf\xbf", 0x10ffff, 4},
        {"\x80", UTF8_INVALID, 1},             /* a continuation without a start */
        {"\xc1\xbf", UTF8_INVALID, 1},         /* not the shortest form */
        {"\xe0\x9f\xbf", UTF8_INVALID, 1},     /* not the shortest form */
        {"\xf0\x8f\xbf\xbf", UTF8_INVALID, 1}, /* not the shortest form */
        {"\xed\xa0\x80", UTF8_INVALID, 1},     /* a surrogate */
        {"\xed\xbf\xbf", UTF8_INVALID, 1},     /* a surrogate */
        {"\xf4\x90\x80\x80", UTF8_INVALID, 1}, /* over U+10FFFF */
        {"\xf8\x88\x80\x80\x80", UTF8_INVALID, 1},
        {"\xff", UTF8_INVALID, 1},
        {"\xc3", UTF8_INVALID, 1},     /* cut short */
        {"\xe2\x82", UTF8_INVALID, 1}, /* cut short */
        {"\xe2\x82x", UTF8_INVALID, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = 0;
        assert_int_equal(utf8_decode(cases[i].text, strlen(cases[i].text), &len),
                         cases[i].character);
        assert_int_equal(len, cases[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
