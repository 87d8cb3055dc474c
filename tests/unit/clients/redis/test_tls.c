/* TLS to a private redis-server, whom a connection trusts and whom not. Where hiredis has no TLS,
 * the address is refused. */
#include "services/clients/redis/redis_connection.h"
#include "services/clients/redis/tls.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/certificates.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/server_process.h"
#include "tests/unit/support/test_clock.h"
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_BYTES 1000000 /* many TLS records, and more than a socket takes at once */

static char folder[SERVER_FOLDER_SIZE], plain_port[8], tls_port[8];
static char ca_file[96], other_ca_file[96];
static struct authority *authority, *other;

/* ---- the server ---- */

static bool ready(void)
{
    int fd = loopback_connect((uint16_t)atoi(tls_port));
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static struct server_process server = {
    .argv =
        (const char *const[]){"redis-server", "--bind", "127.0.0.1", "-::1", "--port", plain_port,
                              "--tls-port", tls_port, "--tls-cert-file", "server.pem",
                              "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem",
                              "--tls-auth-clients", "no", "--save", "", NULL},
    .folder = folder,
    .end_signal = SIGKILL,
    .ready = ready};

static void path_of(const char *name, char path[96])
{
    (void)snprintf(path, 96, "%s/%s", folder, name);
}

/* A certificate for localhost and its key. */
static void write_server(const struct authority *by, const char *certificate, const char *key)
{
    char path[96];
    SSL_CTX *context = authority_server(by, "DNS:localhost", false);
    path_of(certificate, path);
    FILE *file = fopen(path, "w");
    assert_int_equal(PEM_write_X509(file, SSL_CTX_get0_certificate(context)), 1);
    assert_int_equal(fclose(file), 0);
    path_of(key, path);
    file = fopen(path, "w");
    assert_int_equal(
        PEM_write_PrivateKey(file, SSL_CTX_get0_privatekey(context), NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    SSL_CTX_free(context);
}

static void write_certificates(void)
{
    authority = authority_new("ca");
    other = authority_new("other");
    path_of("ca.pem", ca_file);
    authority_write(authority, ca_file);
    path_of("other.pem", other_ca_file);
    authority_write(other, other_ca_file);
    write_server(authority, "server.pem", "server.key");
    write_server(other, "other_server.pem", "other_server.key");
}

static int start_server(void **state)
{
    (void)state;
    server_folder_make(folder, NULL);
    write_certificates();
    uint16_t port = loopback_free_ports(2);
    (void)snprintf(plain_port, sizeof plain_port, "%u", port);
    (void)snprintf(tls_port, sizeof tls_port, "%u", port + 1);
    server_process_start(&server);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    server_process_end(&server, SIGKILL);
    server_folder_remove(folder);
    authority_free(other);
    authority_free(authority);
    return 0;
}

/* ---- a connection ---- */

static bool up;
static unsigned changes, answers;
static char reason[256];

static void on_state(void *arg, bool is_up, const char *why)
{
    (void)arg;
    up = is_up;
    changes++;
    (void)snprintf(reason, sizeof reason, "%s", why != NULL ? why : "");
}

static void on_done(void *arg, const redisReply *reply)
{
    const char *expected = arg;
    assert_non_null(reply);
    assert_string_equal(reply->str, expected);
    answers++;
}

static void turn(struct redis_connection *connection, struct event_loop *events)
{
    redis_connection_flush(connection);
    event_loop_turn(events, 1);
}

static void turn_passing(struct redis_connection *connection, struct event_loop *events)
{
    turn(connection, events);
    test_clock_advance(1);
}

static void set_and_get(struct redis_connection *connection, struct event_loop *events)
{
    static char value[VALUE_BYTES + 1], ok[] = "OK";
    memset(value, 'x', VALUE_BYTES);
    const struct redis_word set[] = {REDIS_WORD("SET"), REDIS_WORD("key"), redis_word(value)};
    const struct redis_word get[] = {REDIS_WORD("GET"), REDIS_WORD("key")};
    answers = 0;
    assert_int_equal(redis_connection_send(connection, set, 3, on_done, ok), 0);
    assert_int_equal(redis_connection_send(connection, get, 2, on_done, value), 0);
    wait_until(answers == 2, turn(connection, events));
}

static void test_trust(void **state)
{
    (void)state;
    const struct {
        const char *host, *port, *ca_file;
        const char *reason; /* NULL: it works */
    } cases[] = {
        {"localhost", tls_port, ca_file, NULL},
        {"localhost", tls_port, other_ca_file, "certificate verify failed"},
        {"localhost", tls_port, NULL, "certificate verify failed"},
        {"127.0.0.1", tls_port, ca_file, "certificate verify failed"}, /* another name */
        {"localhost", tls_port, "/nowhere.pem", "authorities from /nowhere.pem"},
        {"localhost", plain_port, ca_file, ""},
        {"localhost", "1", ca_file, "refused"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char address[64];
        (void)snprintf(address, sizeof address, "rediss://%s:%s", cases[i].host, cases[i].port);
        print_message("           %s, %s\n", address, cases[i].ca_file);
        struct redis_options options = {
            .address = address, .ca_file = cases[i].ca_file, .on_state = on_state};
        struct event_loop *events = event_loop_new();
        changes = 0;
        struct redis_connection *connection = redis_connection_new(events, &options);
        /* Redis 7 waits for the end of what it takes for a line. */
        wait_until(changes > 0, turn_passing(connection, events));
        assert_int_equal(up, cases[i].reason == NULL);
        if (up)
            set_and_get(connection, events);
        else if (reason[0] == '\0' || strstr(reason, cases[i].reason) == NULL)
            fail_msg("%s", reason);
        redis_connection_free(connection);
        event_loop_free(events);

        struct error err = {""};
        assert_int_equal(redis_reach(&options, &err), cases[i].reason == NULL ? 0 : -1);
        if (cases[i].reason != NULL &&
            (err.message[0] == '\0' || strstr(err.message, cases[i].reason) == NULL))
            fail_msg("%s", err.message);
    }
}

static void tell(redisContext *admin, const char *command)
{
    redisReply *reply = redisCommand(admin, command);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

/* The server's certificate and the file of authorities are replaced while both run. */
static void test_rotation(void **state)
{
    (void)state;
    static const char cut[] = "CLIENT KILL TYPE normal SKIPME yes";
    char address[64], trusted[96];
    path_of("trusted.pem", trusted);
    authority_write(authority, trusted);
    (void)snprintf(address, sizeof address, "rediss://localhost:%s", tls_port);
    struct redis_options options = {.address = address, .ca_file = trusted, .on_state = on_state};
    struct event_loop *events = event_loop_new();
    up = false;
    struct redis_connection *connection = redis_connection_new(events, &options);
    redisContext *admin = redisConnect("127.0.0.1", atoi(plain_port));
    wait_until(up, turn(connection, events));

    tell(admin, "CONFIG SET tls-cert-file other_server.pem tls-key-file other_server.key");
    set_and_get(connection, events); /* the connection stands */
    tell(admin, cut);
    wait_until(strstr(reason, "certificate verify failed") != NULL,
               turn_passing(connection, events));
    assert_false(up);
    authority_write(other, trusted);
    wait_until(up, turn_passing(connection, events));
    set_and_get(connection, events);

    redisFree(admin);
    redis_connection_free(connection);
    event_loop_free(events);
}

static void test_refusal(void **state)
{
    (void)state;
    struct host_port address;
    struct error err = {""};
    assert_int_equal(redis_address_parse("localhost", &address, &err), 0);
    assert_false(address.tls);
    assert_int_equal(redis_address_parse("rediss://localhost", &address, &err), -1);
    assert_non_null(strstr(err.message, "needs hiredis 1 or newer"));
}

int main(void)
{
    const struct CMUnitTest with_tls[] = {cmocka_unit_test(test_trust),
                                          cmocka_unit_test(test_rotation)};
    const struct CMUnitTest without[] = {cmocka_unit_test(test_refusal)};
    return HIREDIS_MAJOR >= 1 ? cmocka_run_group_tests(with_tls, start_server, stop_server)
                              : cmocka_run_group_tests(without, NULL, NULL);
}
