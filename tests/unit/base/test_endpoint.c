#include "services/base/endpoint.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64

static void test_host_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t default_port;
        const char *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"redis:6379", 1, "redis", 6379},
        {"redis", 6379, "redis", 6379},
        {"127.0.0.1:1", 0, "127.0.0.1", 1},
        {"a-b_c.example:65535", 0, "a-b_c.example", 65535},
        {"[::1]:6379", 0, "::1", 6379},
        {"[::1]", 6379, "::1", 6379},
        {"unix:/run/redis.sock", 6379, "/run/redis.sock", 0},
        {"redis", 0, NULL, 0},
        {"", 6379, NULL, 0},
        {":6379", 0, NULL, 0},
        {"redis:", 6379, NULL, 0},
        {"redis:0", 0, NULL, 0},
        {"redis:65536", 0, NULL, 0},
        {"redis:99999999999999999999", 0, NULL, 0},
        {"redis:6379x", 0, NULL, 0},
        {"redis:-1", 0, NULL, 0},
        {"redis: 1", 0, NULL, 0},
        {"re dis:1", 0, NULL, 0},
        {"redis:1:2", 0, NULL, 0},
        {"::1", 6379, NULL, 0},
        {"[::1", 6379, NULL, 0},
        {"[::1]x", 6379, NULL, 0},
        {"[redis]:1", 0, NULL, 0},
        {"unix:", 0, NULL, 0},
        {"unix:/" X64 X64, 0, NULL, 0},
        {X256 ":1", 0, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct host_port parsed = {.host = "untouched"};
        struct error err = {.message = ""};
        int failed = host_port_parse(cases[i].text, cases[i].default_port, &parsed, &err);
        if (failed != (cases[i].host != NULL ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].text, failed, err.message);
        assert_string_equal(parsed.host, failed ? "untouched" : cases[i].host);
        if (failed)
            assert_true(err.message[0] != '\0');
        else
            assert_int_equal(parsed.port, cases[i].port);
        assert_false(parsed.tls);
    }
}

static void test_host_port_with_tls(void **state)
{
    (void)state;
    struct host_port parsed;
    struct error err;
    assert_int_equal(host_port_parse("rediss://redis:6380", 1, &parsed, &err), 0);
    assert_true(parsed.tls);
    assert_string_equal(parsed.host, "redis");
    assert_int_equal(parsed.port, 6380);
    assert_int_equal(host_port_parse("rediss://[::1]", 6379, &parsed, &err), 0);
    assert_true(parsed.tls);
    assert_string_equal(parsed.host, "::1");
    assert_int_equal(parsed.port, 6379);
    static const char *const refused[] = {"rediss://", "rediss://unix:/run/redis.sock",
                                          "rediss://redis/0", "redis://redis", "rediss:redis"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(host_port_parse(refused[i], 6379, &parsed, &err), -1);
}

static void test_bridge_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *persist, *index, *reply; /* NULL: refused */
    } cases[] = {
        {"tcp://bridge:7100", "tcp://bridge:7100", "tcp://bridge:7101", "tcp://bridge:7102"},
        {"tcp://*:7100", "tcp://*:7100", "tcp://*:7101", "tcp://*:7102"},
        {"tcp://[::1]:1", "tcp://[::1]:1", "tcp://[::1]:2", "tcp://[::1]:3"},
        {"tcp://h:65533", "tcp://h:65533", "tcp://h:65534", "tcp://h:65535"},
        {"ipc:///run/b", "ipc:///run/b.persist", "ipc:///run/b.index", "ipc:///run/b.reply"},
        {"tcp://h:65534", NULL, NULL, NULL},
        {"tcp://h", NULL, NULL, NULL},
        {"tcp://h:", NULL, NULL, NULL},
        {"tcp://h:x", NULL, NULL, NULL},
        {"tcp://:7100", NULL, NULL, NULL},
        {"tcp://*", NULL, NULL, NULL},
        {"tcp://", NULL, NULL, NULL},
        {"ipc://", NULL, NULL, NULL},
        {"ipc://" X64 X64, NULL, NULL, NULL},
        {"tcp://" X256 ":1", NULL, NULL, NULL},
        {"udp://h:1", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bridge_endpoints parsed;
        struct error err = {.message = ""};
        int failed = bridge_endpoints_parse(cases[i].text, &parsed, &err);
        if (failed != (cases[i].persist != NULL ? 0 : -1))
            fail_msg("%s: %d %s", cases[i].text, failed, err.message);
        if (failed)
            continue;
        assert_string_equal(parsed.jobs[STAGE_PERSIST], cases[i].persist);
        assert_string_equal(parsed.jobs[STAGE_INDEX], cases[i].index);
        assert_string_equal(parsed.reply, cases[i].reply);
    }
}

static void test_zmq_endpoint(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"tcp://scheduler:7100", 0},
        {"tcp://*:7100", 0},
        {"tcp://[::1]:65533", 0},
        {"ipc:///run/s", 0},
        {"tcp://h", -1},
        {"tcp://h:0", -1},
        {"tcp://h:65536", -1},
        {"tcp://:1", -1},
        {"tcp://", -1},
        {"ipc://", -1},
        {"ipc://" X64 X64, -1},
        {"tcp://" X256 ":1", -1},
        {"inproc://x", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        if (bridge_endpoint_validate(cases[i].text, &err) != cases[i].result)
            fail_msg("%s", cases[i].text);
    }
}

static void test_loopback(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tcp, loopback;
    } cases[] = {
        {"tcp://127.0.0.1:7100", true, true},
        {"tcp://127.9.8.7:7100", true, true},
        {"tcp://[::1]:7100", true, true},
        {"tcp://126.0.0.1:7100", true, false},
        {"tcp://128.0.0.1:7100", true, false},
        {"tcp://0.0.0.0:7100", true, false},
        {"tcp://*:7100", true, false},
        {"tcp://[::]:7100", true, false},
        {"tcp://[::ffff:127.0.0.1]:7100", true, false},
        {"tcp://localhost:7100", true, false},
        {"tcp://127.0.0.1.example:7100", true, false},
        {"ipc:///run/127.0.0.1:7100", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (bridge_endpoint_is_tcp(cases[i].text) != cases[i].tcp ||
            bridge_endpoint_is_loopback(cases[i].text) != cases[i].loopback)
            fail_msg("%s", cases[i].text);
}

static void test_connectable_list(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"tcp://bridge:7100", 0},
        {"tcp://127.0.0.1:7100,tcp://[::1]:7100, ipc:///run/*", 0},
        {"tcp://*:7100", -1},
        {"tcp://0.0.0.0:7100", -1},
        {"tcp://0:7100", -1},
        {"tcp://0x0.0:7100", -1},
        {"tcp://[::]:7100", -1},
        {"tcp://[0:0::0]:7100", -1},
        {"tcp://bridge:7100,tcp://*:7100", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        if (bridge_endpoint_list_validate(cases[i].text, &err) != cases[i].result)
            fail_msg("%s", cases[i].text);
    }
}

static void test_list(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int count; /* -1: refused */
        const char *last;
    } cases[] = {
        {"a", 1, "a"},
        {"a,b", 2, "b"},
        {" a ,\tb\t", 2, "b"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", 16, "16"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", -1, NULL},
        {"", -1, NULL},
        {",", -1, NULL},
        {"a,", -1, NULL},
        {",a", -1, NULL},
        {"a,,b", -1, NULL},
        {"a, ,b", -1, NULL},
        {X256, -1, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct endpoint_list list;
        struct error err;
        int failed = endpoint_list_parse(cases[i].text, &list, &err);
        if (failed != (cases[i].count >= 0 ? 0 : -1))
            fail_msg("%s: %d", cases[i].text, failed);
        if (failed)
            continue;
        assert_int_equal(list.count, cases[i].count);
        assert_string_equal(list.items[list.count - 1], cases[i].last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_port),
        cmocka_unit_test(test_host_port_with_tls),
        cmocka_unit_test(test_bridge_endpoints),
        cmocka_unit_test(test_zmq_endpoint),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_connectable_list),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
