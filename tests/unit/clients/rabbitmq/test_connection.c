#include "services/base/clock.h"
#include "services/clients/rabbitmq/connection.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include "tests/unit/support/certificates.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    assert_true(loopback_keeps_alive(rabbitmq_server_port()));
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
        {"amqp://guest:s3cret@[::1]:1/", "[::1]:1: "},
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

static void point_to(const char *link, const char *file)
{
    (void)unlink(link);
    assert_int_equal(symlink(file, link), 0);
}

/* The server's certificate and the authorities are replaced while both run. */
static void rotates_certificates(void **state)
{
    (void)state;
    static const char ca_file[] = "/tmp/order-pipeline-test-rotation.pem";
    struct broker_options options = {
        .url = rabbitmq_server_tls_url("localhost"), .ca_file = ca_file, .name = "test"};
    struct error err = {""};
    point_to(ca_file, rabbitmq_server_ca_file());
    assert_int_equal(broker_reach(&options, &err), 0);
    rabbitmq_server_renew(true);
    assert_int_equal(broker_reach(&options, &err), -1);
    assert_non_null(strstr(err.message, "verif"));
    point_to(ca_file, rabbitmq_server_other_ca_file());
    assert_int_equal(broker_reach(&options, &err), 0);
    rabbitmq_server_renew(false);
    assert_int_equal(unlink(ca_file), 0);
}

/* A peer that accepts connections and says nothing; the caller closes it. */
static int frozen_peer(const char *address, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void tries_each_address_of_a_name(void **state)
{
    (void)state;
    char plain_url[128], tls_url[128];
    unsigned port = rabbitmq_server_port();
    (void)snprintf(plain_url, sizeof plain_url, "amqp://guest:guest@found.test:%u/", port);
    (void)snprintf(tls_url, sizeof tls_url, "%s", rabbitmq_server_tls_url("found.test"));
    unsigned tls_port = (unsigned)atoi(strrchr(tls_url, ':') + 1);
    const char *const urls[] = {plain_url, tls_url};
    int frozen[] = {frozen_peer("127.0.0.2", (uint16_t)port),
                    frozen_peer("127.0.0.2", (uint16_t)tls_port)};
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct broker_options options = {
            .url = urls[i], .ca_file = rabbitmq_server_ca_file(), .name = "test"};
        struct error err = {""};
        int64_t start_ms = clock_monotonic_ms();
        name_service_set("127.0.0.2,127.0.0.1,127.0.0.3");
        if (broker_reach(&options, &err) != 0)
            fail_msg("%s: %s", urls[i], err.message);
        assert_in_range(clock_monotonic_ms() - start_ms, 1000, 5000);

        name_service_set("127.0.0.2,127.0.0.3"); /* the second one refuses */
        assert_int_equal(broker_reach(&options, &err), -1);
        assert_in_range(clock_monotonic_ms() - start_ms, 2000, 12000);
        assert_non_null(strstr(err.message, "127.0.0.2: "));
        assert_non_null(strstr(err.message, "timed out"));
        assert_non_null(strstr(err.message, "127.0.0.3: refused"));
        assert_int_equal(close(frozen[i]), 0);
    }
    name_service_set(NULL);
}

static void tells_which_server_of_a_list_answers(void **state)
{
    (void)state;
    uint16_t frozen_port;
    int frozen = loopback_listen(&frozen_port);
    unsigned port = rabbitmq_server_port();
    char url[256], answers[64];
    (void)snprintf(url, sizeof url,
                   "amqp://u:s3cret,@127.0.0.1:1/,amqp://u:s3cret@127.0.0.1:%u/,%s",
                   (unsigned)frozen_port, rabbitmq_server_url());
    struct broker_options options = {.url = url, .name = "test"};
    struct error err = {""};
    assert_int_equal(broker_reach(&options, &err), 0);
    (void)snprintf(answers, sizeof answers, "127.0.0.1:%u answers", port);
    assert_string_equal(err.message, answers);

    struct broker_connection connection;
    options.server = 2 + 3; /* the last of three, the second time */
    assert_int_equal(broker_connect(&options, &connection, &err), 0);
    broker_disconnect(&connection, true);

    *strrchr(url, 'a') = '\0'; /* without the last */
    url[strlen(url) - 1] = '\0';
    assert_int_equal(broker_reach(&options, &err), -1);
    assert_non_null(strstr(err.message, "127.0.0.1:1: refused"));
    assert_non_null(strstr(err.message, "timed out"));
    assert_null(strstr(err.message, "s3cret"));
    assert_int_equal(close(frozen), 0);
}

static char announced[64]; /* the name that a client has sent as SNI */

static int on_announced(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(announced, sizeof announced, "%s", name ? name : "nothing");
    return SSL_TLSEXT_ERR_OK;
}

/* A peer that speaks no AMQP, behind TLS. */
static void verifies_the_name_at_every_address(void **state)
{
    (void)state;
    static const char certificate_file[] = "/tmp/order-pipeline-test-authority.pem";
    static const struct {
        const char *certificate, *host, *addresses;
        bool expired;
        const char *expected, *announced;
    } cases[] = {
        {"IP:127.0.0.1", "127.0.0.1", NULL, false, "cannot log in", "nothing"},
        {"IP:127.0.0.2", "127.0.0.1", NULL, false, "hostname verification", "nothing"},
        {"DNS:127.0.0.1", "127.0.0.1", NULL, false, "hostname verification", "nothing"},
        {"DNS:found.test", "found.test", "127.0.0.1", false, "cannot log in", "found.test"},
        {"DNS:other.test", "found.test", "127.0.0.1", false, "hostname verification", "found.test"},
        {"IP:127.0.0.1", "found.test", "127.0.0.1", false, "hostname verification", "found.test"},
        {"DNS:found.test", "found.test", "127.0.0.1", true, "certificate has expired",
         "found.test"},
    };
    struct authority *authority = authority_new("test authority");
    authority_write(authority, certificate_file);
    for (size_t i = 0; i < COUNT(cases); i++) {
        SSL_CTX *context = authority_server(authority, cases[i].certificate, cases[i].expired);
        SSL_CTX_set_tlsext_servername_callback(context, on_announced);
        struct http_peer *peer = http_peer_new_tls(context);
        char url[128];
        (void)snprintf(url, sizeof url, "amqps://guest:guest@%s:%u/", cases[i].host,
                       (unsigned)http_peer_port(peer));
        name_service_set(cases[i].addresses);
        struct broker_options options = {.url = url, .ca_file = certificate_file, .name = "test"};
        struct error err = {""};
        announced[0] = '\0';
        assert_int_equal(broker_reach(&options, &err), -1);
        if (!strstr(err.message, cases[i].expected))
            fail_msg("case %zu: %s", i, err.message);
        http_peer_free(peer);
        SSL_CTX_free(context);
        assert_string_equal(announced, cases[i].announced);
    }
    name_service_set(NULL);
    authority_free(authority);
    assert_int_equal(unlink(certificate_file), 0);
}

int run_connection_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_and_tells_the_version),
        cmocka_unit_test(explains_failures_without_credentials),
        cmocka_unit_test(verifies_the_tls_peer),
        cmocka_unit_test(rotates_certificates),
        cmocka_unit_test(tries_each_address_of_a_name),
        cmocka_unit_test(tells_which_server_of_a_list_answers),
        cmocka_unit_test(verifies_the_name_at_every_address),
    };
    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
