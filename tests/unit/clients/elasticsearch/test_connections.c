/* Where the client's connections go to, and whom they trust. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/certificates.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/real_time.h"
#include <openssl/x509_vfy.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a folder of authorities that the system trusts, in place of /etc/ssl/certs ---- */

static const char *system_authority; /* a file, or NULL */

int X509_STORE_load_path(X509_STORE *store, const char *path)
{
    (void)path;
    return system_authority == NULL || X509_STORE_load_file(store, system_authority) == 1;
}

/* ---- a client ---- */

static struct event_loop *loop;
static struct elasticsearch *client;
static bool done;
static long status;
static char failure[256];

static void on_done(void *arg, long answer_status, enum http_end end, const char *body,
                    size_t body_len, const struct error *err)
{
    (void)arg, (void)end, (void)body, (void)body_len;
    done = true;
    status = answer_status;
    (void)snprintf(failure, sizeof(failure), "%s", err != NULL ? err->message : "");
}

static void open_client(const char *scheme, const char *host, uint16_t port, const char *ca_file)
{
    char url[128];
    (void)snprintf(url, sizeof(url), "%s://%s:%u", scheme, host, port);
    loop = event_loop_new();
    client = elasticsearch_new(
        loop, &(struct elasticsearch_options){
                  .url = url, .ca_file = ca_file, .max_in_flight = 4, .max_response_bytes = 1000});
}

static void close_client(void)
{
    elasticsearch_free(client);
    event_loop_free(loop);
}

/* Returns the status, or 0 with `failure`. */
static long ask(const char *path)
{
    done = false;
    assert_int_equal(elasticsearch_request(client, "GET", path, NULL, NULL, 0, false, PATIENCE_MS,
                                           on_done, NULL),
                     0);
    wait_until(done, event_loop_turn(loop, 10));
    return status;
}

/* ---- tests ---- */

static void test_another_address_behind_the_name(void **state)
{
    (void)state;
    struct http_peer *peer = http_peer_new();
    open_client("http", "found.test", http_peer_port(peer), NULL);
    name_service_set("127.0.0.9"); /* where nobody is any more */
    assert_int_equal(ask("/close"), 0);
    name_service_set("127.0.0.1");
    assert_int_equal(ask("/close"), 200);
    name_service_set("127.0.0.9");
    assert_int_equal(ask("/close"), 0);
    name_service_set("127.0.0.9,127.0.0.1"); /* the one that answers */
    assert_int_equal(ask("/close"), 200);
    name_service_set(NULL);
    close_client();
    http_peer_free(peer);
}

static void test_keepalive(void **state)
{
    (void)state;
    struct http_peer *peer = http_peer_new();
    open_client("http", "127.0.0.1", http_peer_port(peer), NULL);
    assert_int_equal(ask("/status/200"), 200);
    assert_true(loopback_keeps_alive(http_peer_port(peer)));
    close_client();
    http_peer_free(peer);
}

static void write_file(const struct authority *authority, char path[32])
{
    (void)snprintf(path, 32, "/tmp/test_connections-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    authority_write(authority, path);
}

/* The server has another certificate from now on. */
static void renew(SSL_CTX *server, const struct authority *authority)
{
    SSL_CTX *next = authority_server(authority, "DNS:localhost", false);
    assert_int_equal(SSL_CTX_use_certificate(server, SSL_CTX_get0_certificate(next)), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server, SSL_CTX_get0_privatekey(next)), 1);
    SSL_CTX_free(next);
}

static void expect_distrust(void)
{
    assert_int_equal(ask("/close"), 0);
    if (strstr(failure, "certificate") == NULL)
        fail_msg("%s", failure);
}

/* A file that is replaced counts for the next connection, whether it trusts more or less. */
static void test_rotation(void **state)
{
    (void)state;
    char ca_file[32];
    struct authority *first = authority_new("first"), *second = authority_new("second");
    SSL_CTX *server = authority_server(first, "DNS:localhost", false);
    struct http_peer *peer = http_peer_new_tls(server);
    write_file(first, ca_file);
    open_client("https", "localhost", http_peer_port(peer), ca_file);
    assert_int_equal(ask("/close"), 200);
    renew(server, second);
    authority_write(second, ca_file);
    assert_int_equal(ask("/close"), 200);
    authority_write(first, ca_file);
    expect_distrust();
    renew(server, first);
    assert_int_equal(ask("/close"), 200);
    close_client();
    http_peer_free(peer);
    SSL_CTX_free(server);
    authority_free(first);
    authority_free(second);
    assert_int_equal(unlink(ca_file), 0);
}

/* The system's authorities count only where no file is given. */
static void test_a_file_is_the_only_trust(void **state)
{
    (void)state;
    char own_file[32], system_file[32];
    struct authority *own = authority_new("own"), *system = authority_new("system");
    SSL_CTX *server = authority_server(system, "DNS:localhost", false);
    struct http_peer *peer = http_peer_new_tls(server);
    write_file(own, own_file);
    write_file(system, system_file);
    system_authority = system_file;
    open_client("https", "localhost", http_peer_port(peer), NULL);
    assert_int_equal(ask("/close"), 200);
    close_client();
    open_client("https", "localhost", http_peer_port(peer), own_file);
    expect_distrust();
    close_client();
    system_authority = NULL;
    http_peer_free(peer);
    SSL_CTX_free(server);
    authority_free(own);
    authority_free(system);
    assert_int_equal(unlink(own_file), 0);
    assert_int_equal(unlink(system_file), 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_address_behind_the_name),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_a_file_is_the_only_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
