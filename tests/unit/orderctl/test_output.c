#include "services/orderctl/output.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is printed, in one text. */
static char *printed;
static size_t printed_len;
static FILE *open_printed(void)
{
    FILE *stream = open_memstream(&printed, &printed_len);
    assert_non_null(stream);
    return stream;
}

static void assert_printed(FILE *stream, const char *text)
{
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(printed, text);
    free(printed);
}

static void test_no_control_character_is_printed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"Laptop", "Laptop"},
        {"Grün, 電話", "Grün, 電話"},
        {"\033]0;title\007", "\\u001b]0;title\\u0007"},
        {"\033[2J", "\\u001b[2J"},
        {"a\nb\tc\rd", "a\\u000ab\\u0009c\\u000dd"},
        {"\x7f", "\\u007f"},
        {"\xc2\x9b"
         "31m",
         "\\u009b31m"}, /* CSI in one character */
        {"\x9b"
         "31m",
         "\\x9b31m"}, /* in one byte */
        {"\xe2\x80\xae"
         "evil",
         "\\u202eevil"}, /* right to left */
        {"\xff\xfe", "\\xff\\xfe"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FILE *stream = open_printed();
        output_text(stream, cases[i].text);
        assert_printed(stream, cases[i].printed);
    }
    FILE *stream = open_printed();
    output_bytes(stream, "a\0b", 3);
    assert_printed(stream, "a\\u0000b");
}

static void test_lines_keep_their_ends(void **state)
{
    (void)state;
    FILE *stream = open_printed();
    output_lines(stream, "  ", "{\n\t1\033\n}", 7);
    assert_printed(stream, "  {\n  \t1\\u001b\n  }\n");
}

static void test_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"", "     "},      {"abc", "abc  "},    {"abcde", "abcde"},      {"abcdef", "abcd…"},
        {"äöüßé", "äöüßé"}, {"äöüßéa", "äöüß…"}, {"ab\033", "ab\\u001b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FILE *stream = open_printed();
        output_column(stream, cases[i].text, 5);
        assert_printed(stream, cases[i].printed);
    }
}

static void test_json_is_ascii(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:s, s:f, s:i}", "a", "\x7f\xc2\x9bü\033", "b", 0.1, "c", 3);
    FILE *stream = open_printed();
    output_json(stream, json, JSON_COMPACT);
    json_decref(json);
    assert_printed(stream, "{\"a\":\"\\u007f\\u009B\\u00FC\\u001B\",\"b\":0.1,\"c\":3}\n");
}

static void test_times_in_words(void **state)
{
    (void)state;
    static const struct {
        int64_t ago_s;
        const char *words;
    } cases[] = {
        {0, "just now"},      {1, "1 s ago"},    {59, "59 s ago"},     {60, "1 min ago"},
        {3599, "59 min ago"}, {3600, "1 h ago"}, {172799, "47 h ago"}, {172800, "2 days ago"},
        {-5, "in 5 s"},       {-7200, "in 2 h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TIME_WORDS_SIZE];
        time_words(INT64_C(1000000000000), INT64_C(1000000000000) + cases[i].ago_s * 1000000, text);
        assert_string_equal(text, cases[i].words);
    }
    FILE *stream = open_printed();
    output_time(stream, "no \033 time");
    output_time(stream, NULL);
    assert_printed(stream, "no \\u001b timenever");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_control_character_is_printed),
        cmocka_unit_test(test_lines_keep_their_ends),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_json_is_ascii),
        cmocka_unit_test(test_times_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
