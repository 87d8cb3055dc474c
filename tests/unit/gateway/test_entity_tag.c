#include "services/gateway/entity_tag.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define TAG "W/\"abc\""

static const struct {
    const char *first, *second; /* lines; NULL: not there */
    bool matches;
} cases[] = {
    {NULL, NULL, false},
    {"", NULL, false},
    {"W/\"abc\"", NULL, true},
    {"\"abc\"", NULL, true},
    {"*", NULL, true},
    {"\"x\", W/\"abc\"", NULL, true},
    {"\"x\"\t,\t\"abc\" , \"y\"", NULL, true},
    {",,\"abc\",", NULL, true},
    {"\"x\"", "\"abc\"", true},
    {"\"x\"", "*", true},
    {"\"a,b\", \"abc\"", NULL, true},
    {"\"\\\", \"abc\"", NULL, true}, /* a backslash escapes nothing */
    {"\"\xc3\xa9\", \"abc\"", NULL, true},
    {"\"ABC\"", NULL, false},
    {"\"ab\"", NULL, false},
    {"\"abcd\"", NULL, false},
    {"\"\"", NULL, false},
    {"abc", NULL, false},
    {"W/abc", NULL, false},
    {"w/\"abc\"", NULL, false},
    {"W/ \"abc\"", NULL, false},
    {"W/", NULL, false},
    {"\"abc", NULL, false},
    {"\"", NULL, false},
    {"\"x, \"abc\"", NULL, false}, /* the string ends before abc */
    {"\"x,\"abc\"", NULL, false},
    {"**", NULL, false},
    {"*, \"x\"", NULL, false},
    {"x\"abc\"", NULL, false},
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *lines[] = {cases[i].first, cases[i].second};
        h2o_header_t entries[COUNT(lines)];
        h2o_headers_t headers = {.entries = entries};
        for (; headers.size < COUNT(lines) && lines[headers.size] != NULL; headers.size++)
            entries[headers.size] = (h2o_header_t){
                .name = (h2o_iovec_t *)&H2O_TOKEN_IF_NONE_MATCH->buf,
                .value = h2o_iovec_init(lines[headers.size], strlen(lines[headers.size])),
            };
        if (entity_tag_matches(&headers, TAG) != cases[i].matches)
            fail_msg("If-None-Match: %s", cases[i].first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
