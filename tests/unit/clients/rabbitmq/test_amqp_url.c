#include "services/clients/rabbitmq/amqp_url.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64

static void parses_or_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct amqp_url url; /* host "": refused */
    } cases[] = {
        {"amqp://guest:guest@rabbitmq:5672/", {false, "rabbitmq", 5672, "guest", "guest", "/"}},
        {"amqp://rabbitmq", {false, "rabbitmq", 5672, "guest", "guest", "/"}},
        {"amqp://rabbitmq/", {false, "rabbitmq", 5672, "guest", "guest", "/"}},
        {"amqps://h", {true, "h", 5671, "guest", "guest", "/"}},
        {"amqp://u:p@h:1/v", {false, "h", 1, "u", "p", "v"}},
        {"amqp://u:@h/v", {false, "h", 5672, "u", "", "v"}},
        {"amqp://u@h", {false, "h", 5672, "u", "guest", "/"}},
        {"amqp://u:p:q@h", {false, "h", 5672, "u", "p:q", "/"}},
        {"amqp://%75%3a:p%40%2F@[::1]:7/%2f", {false, "::1", 7, "u:", "p@/", "/"}},
        {"amqp://h/%2Fa%2Fb", {false, "h", 5672, "guest", "guest", "/a/b"}},
        {"amqp://u:p,q@h", {false, "h", 5672, "u", "p,q", "/"}},
        {"amqp://u:a b@h/v w", {false, "h", 5672, "u", "a b", "v w"}},
        {"amqp://h/..", {false, "h", 5672, "guest", "guest", ".."}},
        {"", {.host = ""}},
        {"rabbitmq:5672", {.host = ""}},
        {"http://h", {.host = ""}},
        {"AMQP://h", {.host = ""}},
        {"amqp://", {.host = ""}},
        {"amqp:///v", {.host = ""}},
        {"amqp://:p@h", {.host = ""}},
        {"amqp://u:p@", {.host = ""}},
        {"amqp://u:p@p@h", {.host = ""}},
        {"amqp://u:%4@h", {.host = ""}},
        {"amqp://u:%zz@h", {.host = ""}},
        {"amqp://u:%00@h", {.host = ""}},
        {"amqp://u:p%0a@h", {.host = ""}},
        {"amqp://u:p%7f@h", {.host = ""}},
        {"amqp://u:p\n@h", {.host = ""}},
        {"amqp://@h", {.host = ""}},
        {"amqp://h,i", {.host = ""}},
        {"amqp://%25", {.host = ""}},
        {"amqp://h*", {.host = ""}},
        {"amqp://h/v%", {.host = ""}},
        {"amqp://[::1", {.host = ""}},
        {"amqp://[::1]x", {.host = ""}},
        {"amqp://[h]", {.host = ""}},
        {"amqp://[fe80::1%25eth0]", {.host = ""}},
        {"amqp://h:0", {.host = ""}},
        {"amqp://h:65536", {.host = ""}},
        {"amqp://h/a/b", {.host = ""}},
        {"amqp://h/v?heartbeat=10", {.host = ""}},
        {"amqp://h/v#f", {.host = ""}},
        {"amqp://u:" X256 "@h", {.host = ""}},
        {"amqp://" X256 X256, {.host = ""}},
        {"amqp://h/" X256, {.host = ""}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amqp_url parsed;
        struct error err = {.message = ""};
        const struct amqp_url *expected = &cases[i].url;
        int failed = amqp_url_parse(cases[i].text, &parsed, &err);
        if (failed != (expected->host[0] != '\0' ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].text, failed, err.message);
        if (failed) {
            assert_true(err.message[0] != '\0');
            continue;
        }
        assert_int_equal(parsed.tls, expected->tls);
        assert_int_equal(parsed.port, expected->port);
        assert_string_equal(parsed.host, expected->host);
        assert_string_equal(parsed.user, expected->user);
        assert_string_equal(parsed.password, expected->password);
        assert_string_equal(parsed.vhost, expected->vhost);
    }
}

/* A refused URL is never quoted: it may hold the password. */
static void quotes_nothing_in_errors(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "amqp://u:canary@h:canary", "amqp://u:canary%@h", "canary://u:canary@h",
        "amqp://u:canary@h/a/b",    "amqp://u:can@ary@h", "amqp://u:canary@h?x",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct amqp_url parsed;
        struct error err;
        assert_int_equal(amqp_url_parse(urls[i], &parsed, &err), -1);
        assert_null(strstr(err.message, "can"));
        assert_null(strstr(err.message, "ary"));
    }
}

static void splits_only_where_a_url_begins(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned count; /* 0: refused */
        const char *last_host, *last_password;
    } cases[] = {
        {"amqp://a", 1, "a", "guest"},
        {"amqp://a,amqp://b", 2, "b", "guest"},
        {"amqp://a/v,amqps://u:p@b:1/v,amqp://c", 3, "c", "guest"},
        {"amqp://u:p,q@a,amqp://u:x,y,amqp@b", 2, "b", "x,y,amqp"},
        {"amqp://u:p,amqps:@a", 1, "a", "p,amqps:"},
        {"", 0, NULL, NULL},
        {",amqp://a", 0, NULL, NULL},
        {"amqp://a,", 0, NULL, NULL},
        {"amqp://a,,amqp://b", 0, NULL, NULL},
        {"amqp://a, amqp://b", 0, NULL, NULL},
        {"amqp://a,http://b", 0, NULL, NULL},
        {"amqp://a,b", 0, NULL, NULL},
        {"amqp://a,amqp://", 0, NULL, NULL},
        {"amqp://a:x,amqp://b", 0, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct amqp_url_list list;
        struct error err = {.message = ""};
        int failed = amqp_url_list_parse(cases[i].text, &list, &err);
        if (failed != (cases[i].count > 0 ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].text, failed, err.message);
        assert_int_equal(amqp_url_list_validate(cases[i].text, &err), failed);
        if (failed)
            continue;
        assert_int_equal(list.count, cases[i].count);
        assert_string_equal(list.urls[list.count - 1].host, cases[i].last_host);
        assert_string_equal(list.urls[list.count - 1].password, cases[i].last_password);
        amqp_url_list_release(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_or_refuses),
        cmocka_unit_test(quotes_nothing_in_errors),
        cmocka_unit_test(splits_only_where_a_url_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
