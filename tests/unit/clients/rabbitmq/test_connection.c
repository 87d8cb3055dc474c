#include "services/base/clock.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/connection_attempt.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/support/stalling_proxy.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>

static void connects_and_tells_the_version(void **state)
{
    (void)state;
    struct broker_options options = {.url = rabbitmq_server_url(), .name = "test"};
    struct broker_connection connection;
    struct error err;
    assert_int_equal(broker_connect(&options, &connection, &err), 0);
    assert_in_range(connection.server_major, 3, 4);
    assert_int_equal(amqp_get_heartbeat(connection.amqp), RABBITMQ_SERVER_HEARTBEAT_S);
    assert_int_equal(connection.fd, amqp_get_sockfd(connection.amqp));
    broker_disconnect(&connection, true);
    assert_null(connection.amqp);
    broker_disconnect(&connection, true); /* nothing happens */
}

static void explains_failures_without_credentials(void **state)
{
    (void)state;
    char wrong_password[128], wrong_vhost[128];
    unsigned port = rabbitmq_server_port();
    (void)snprintf(wrong_password, sizeof wrong_password, "amqp://guest:s3cret@127.0.0.1:%u/",
                   port);
    (void)snprintf(wrong_vhost, sizeof wrong_vhost, "amqp://guest:guest@127.0.0.1:%u/nowhere",
                   port);
    const struct {
        const char *url, *expected;
    } cases[] = {
        {wrong_password, "ACCESS_REFUSED"},
        {wrong_vhost, "vhost nowhere not found"},
        {"amqp://guest:s3cret@127.0.0.1:1/", "127.0.0.1:1: refused"},
        {"amqp://guest:s3cret@no-such-host.invalid/", "hostname lookup failed"},
        {"http://guest:s3cret@127.0.0.1/", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct broker_options options = {.url = cases[i].url, .name = "test"};
        struct error err = {""};
        assert_int_equal(broker_reach(&options, &err), -1);
        if (!strstr(err.message, cases[i].expected) || strstr(err.message, "s3cret"))
            fail_msg("case %zu: %s", i, err.message);
        assert_true(strlen(err.message) > 0);
    }
}

static void verifies_the_tls_peer(void **state)
{
    (void)state;
    const struct {
        const char *host, *ca_file;
        const char *expected; /* NULL: it works */
    } cases[] = {
        {"localhost", rabbitmq_server_ca_file(), NULL},
        {"localhost", rabbitmq_server_other_ca_file(), "verif"},
        {"localhost", NULL, "verif"},
        {"127.0.0.1", rabbitmq_server_ca_file(), "hostname verification"},
        {"localhost", "/nowhere.pem", "cannot load certificate authorities from /nowhere.pem"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct broker_options options = {.url = rabbitmq_server_tls_url(cases[i].host),
                                         .ca_file = cases[i].ca_file,
                                         .name = "test"};
        struct error err = {""};
        int failed = broker_reach(&options, &err);
        if (failed != (cases[i].expected ? -1 : 0) ||
            (cases[i].expected && !strstr(err.message, cases[i].expected)))
            fail_msg("case %zu: %s", i, err.message);
    }
    char plaintext_peer[128];
    (void)snprintf(plaintext_peer, sizeof plaintext_peer, "amqps://guest:guest@localhost:%u/",
                   (unsigned)rabbitmq_server_port());
    struct broker_options options = {
        .url = plaintext_peer, .ca_file = rabbitmq_server_ca_file(), .name = "test"};
    assert_int_equal(broker_reach(&options, NULL), -1);
}

static void gives_up_on_a_silent_server(void **state)
{
    (void)state;
    struct stalling_proxy *proxy = stalling_proxy_new(rabbitmq_server_port());
    stalling_proxy_set(proxy, PROXY_STALLS);
    struct broker_options options = {.url = stalling_proxy_url(proxy), .name = "test"};

    /* Abandoned attempts end by themselves, and nobody waits for them. */
    int64_t start_ms = clock_monotonic_ms();
    struct error err;
    for (int i = 0; i < 3; i++)
        connection_attempt_abandon(
            connection_attempt_start(&options, "q", QUEUE_CLASSIC, true, &err));
    assert_in_range(clock_monotonic_ms() - start_ms, 0, 3000);

    struct connection_attempt *attempt =
        connection_attempt_start(&options, "q", QUEUE_CLASSIC, true, &err);
    struct pollfd ended = {.fd = connection_attempt_fd(attempt), .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 0), 0);
    assert_int_equal(poll(&ended, 1, 30000), 1);
    assert_in_range(clock_monotonic_ms() - start_ms, 4500, 10000);
    struct broker_connection connection;
    bool differs;
    assert_int_equal(connection_attempt_finish(attempt, &connection, &differs, &err), -1);
    assert_non_null(strstr(err.message, "timed out"));
    stalling_proxy_free(proxy);
}

int run_connection_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_and_tells_the_version),
        cmocka_unit_test(explains_failures_without_credentials),
        cmocka_unit_test(verifies_the_tls_peer),
        cmocka_unit_test(gives_up_on_a_silent_server),
    };
    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
