/* The key's text, and what CURVE does with it where no handler judges. */
#include "services/worker/link_key.h"
#include "services/worker/link_settings.h"
#include "services/worker/link_socket.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HALF "00112233445566778899aabbccddeeff"
#define KEY HALF HALF

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {KEY, 0},
        {HALF "00112233445566778899AABBCCDDEEFF", 0},
        {"", -1},
        {HALF, -1},
        {KEY "0", -1},
        {KEY "\n", -1},
        {HALF "00112233445566778899aabbccddeefg", -1},
        {" " HALF "00112233445566778899aabbccddeef", -1},
        {"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", -1}, /* Z85 */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {.message = ""};
        if (link_key_validate(cases[i].text, &err) != cases[i].result)
            fail_msg("%s", cases[i].text);
        if (cases[i].result != 0)
            assert_string_equal(err.message,
                                "must be 64 hexadecimal digits, as of openssl rand -hex 32");
    }
}

/* The public half as OpenSSL makes it. */
static void test_pair(void **state)
{
    (void)state;
    static const uint8_t public[] = {0x09, 0x9f, 0x86, 0xf9, 0x1c, 0x81, 0x8e, 0x4a,
                                     0x9c, 0x78, 0x11, 0xdf, 0xcc, 0x97, 0x95, 0xc4,
                                     0x56, 0xbf, 0xe7, 0x48, 0xa9, 0xb1, 0xb4, 0xec,
                                     0x51, 0xcd, 0xea, 0xdd, 0xe0, 0x81, 0xab, 0x60};
    struct link_key key;
    link_key_read("77076d0a7318a57d3c16c17251b26645df4c7f92ebc0992ac177fba51db92c2a", &key);
    assert_memory_equal(key.public_bytes, public, sizeof public);
}

static void test_without_a_handler_nobody_gets_in(void **state)
{
    (void)state;
    struct link_key key;
    link_key_read(KEY, &key);
    zsock_t *server = link_socket_new(LINK_REPLIES_FROM_WORKERS, &key);
    int port = zsock_bind(server, "tcp://127.0.0.1:*");
    assert_true(port > 0);
    zsock_t *member = link_socket_new(LINK_REPLIES_TO_BRIDGE, &key);
    zsock_set_linger(member, 0);
    zsock_set_sndtimeo(member, 200);
    assert_int_equal(zsock_connect(member, "tcp://127.0.0.1:%d", port), 0);
    assert_int_equal(zmq_send(zsock_resolve(member), "x", 1, 0), -1);
    zsock_destroy(&member);
    zsock_destroy(&server);
}

static void test_settings(void **state)
{
    (void)state;
    static char key[] = KEY;
    char folder[] = "/tmp/test-link-key-XXXXXX", closed[64], missing[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(closed, sizeof closed, "ipc://%s/bridge", folder);
    (void)snprintf(missing, sizeof missing, "ipc://%s/missing/bridge", folder);
    const struct {
        const char *endpoints;
        bool without_key, with_key; /* may be used */
    } cases[] = {
        {"tcp://127.0.0.1:7100", true, true},
        {"tcp://127.255.255.254:7100", true, true},
        {"tcp://[::1]:7100", true, true},
        {"tcp://127.0.0.1:7100, tcp://127.0.0.2:7100", true, true},
        {"tcp://127.0.0.1:7100,tcp://bridge:7100", false, true},
        {"tcp://localhost:7100", false, true},
        {"tcp://bridge:7100", false, true},
        {"tcp://127.example:7100", false, true},
        {"tcp://128.0.0.1:7100", false, true},
        {"tcp://*:7100", false, true},
        {"tcp://0.0.0.0:7100", false, true},
        {"tcp://[::]:7100", false, true},
        {"tcp://[::2]:7100", false, true},
        {"tcp://[::ffff:10.0.0.1]:7100", false, true},
        {closed, true, true},
        {missing, false, false},
        {"ipc:///tmp/bridge", false, false},
        {"ipc:///bridge", false, false},
        {"ipc://@bridge", false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {.message = "TEST: "};
        struct link_settings settings = {.key = NULL};
        if ((link_settings_check(&settings, "TEST", cases[i].endpoints, &err) == 0) !=
            cases[i].without_key)
            fail_msg("%s without a key: %s", cases[i].endpoints, err.message);
        settings.key = key;
        if ((link_settings_check(&settings, "TEST", cases[i].endpoints, &err) == 0) !=
            cases[i].with_key)
            fail_msg("%s with a key: %s", cases[i].endpoints, err.message);
        assert_memory_equal(err.message, "TEST: ", strlen("TEST: "));
        settings = (struct link_settings){.auth = LINK_AUTH_OFF};
        assert_int_equal(link_settings_check(&settings, "TEST", cases[i].endpoints, &err), 0);
    }

    struct error err;
    struct link_settings settings = {.key = key, .auth = LINK_AUTH_OFF};
    assert_int_equal(link_settings_check(&settings, "TEST", "tcp://127.0.0.1:1", &err), -1);
    assert_memory_equal(err.message, "LINK_AUTH: ", strlen("LINK_AUTH: "));

    settings = (struct link_settings){.key = NULL};
    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(link_settings_check(&settings, "TEST", closed, &err), -1);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_without_a_handler_nobody_gets_in),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
