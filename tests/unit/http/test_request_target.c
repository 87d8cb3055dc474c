#include "services/http/request_target.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct request_text text_of(const char *text)
{
    return (struct request_text){text, strlen(text)};
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a?b", "/a"},
        {"/a?b?c/d", "/a"},
        {"/?", "/"},
        {"//a", "//a"},
        {"/a//b", "/a//b"},
        {"/a/../b", "/a/../b"},
        {"/./a", "/./a"},
        {"/%61", "/%61"},
        {"/a%3fb", "/a%3fb"},
        {"/a#b", "/a#b"},
        {"http://a/b", "/b"},
        {"HTTP://a/b", "/b"},
        {"hTtPs://a:443/b?c", "/b"},
        {"http://a", "/"},
        {"http://a?b", "/"},
        {"http://a?b/c", "/"},
        {"http://a/", "/"},
        {"http://a//b", "//b"},
        {"http://a#/b", "#/b"},
        {"http://[::1]:80/b", "/b"},
        /* another form: no path */
        {"*", "*"},
        {"a:443", "a:443"},
        {"a/b?c", "a/b?c"},
        {"ftp://a/b", "ftp://a/b"},
        {"http:/a/b", "http:/a/b"},
        {"http", "http"},
        {"xhttp://a/b", "xhttp://a/b"},
        {"?a", "?a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request_text path = request_target_path(text_of(cases[i][0]));
        if (path.len != strlen(cases[i][1]) || memcmp(path.base, cases[i][1], path.len) != 0)
            fail_msg("%s: %.*s", cases[i][0], (int)path.len, path.base);
    }
}

static void test_valid_targets(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        bool valid;
    } cases[] = {
        {"/", true},
        {"*", true},
        {"a:443", true},
        {"/a?b=%00&c=|\"<>\\^`{}", true},
        {"//", true},
        {"", false},
        {"/a b", false},
        {"/a\tb", false},
        {"/\x01", false},
        {"/\x7f", false},
        {"/\x80", false},
        {"/\xff", false},
        {"http://a", true},
        {"http://a?b", true},
        {"https://a.b-c_d~e:8080/f", true},
        {"http://[::1]/", true},
        {"http://a:/", true},
        {"http://", false},
        {"http:///a", false},
        {"http://:80/a", false},
        {"http://?a", false},
        {"http://a@b/c", false},
        {"http://a:b@c/d", false},
        {"http://a:b/", false},
        {"http://[::1/", false},
        {"http://a\\b/", false},
        {"ftp:///a", true}, /* no form that this server knows */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (request_target_valid(text_of(cases[i].target)) != cases[i].valid)
            fail_msg("%s", cases[i].target);
}

static void test_hosts(void **state)
{
    (void)state;
    static const char *const good[] = {"",          "a",
                                       "A.b-c_d~9", "a:1",
                                       "a:",        ":80",
                                       "127.0.0.1", "127.0.0.1:8080",
                                       "[::1]",     "[::1]:80",
                                       "[v1.a:b]",  "[::ffff:1.2.3.4]",
                                       "%41%6a",    "a!$&'()*+,;=",
                                       "a.",        "xn--a"};
    static const char *const bad[] = {
        "a b", "a\tb", "a/b",    "a@b",   "a:b", "a:1:2",    "a:-1",     "a?b",  "a#b", "[",
        "[]",  "[::1", "[::1]a", "[a/b]", "::1", "a[::1]",   "a, b",     "%",    "%4",  "%4g",
        "%g4", "a\\b", "\"a\"",  "<a>",   "a|b", "\xc3\xa9", "http://a", "[%41]"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!request_host_valid(text_of(good[i])))
            fail_msg("%s is good", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (request_host_valid(text_of(bad[i])))
            fail_msg("%s is bad", bad[i]);
    assert_false(request_host_valid((struct request_text){"a\0b", 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_valid_targets),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
