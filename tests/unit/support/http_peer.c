/* A small HTTP/1.1 server on threads, for clients under test. */
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/loopback.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (4 << 20)
#define ANSWER_MAX (512 << 10)
#define CLIENTS_MAX 64

struct client {
    struct http_peer *peer;
    pthread_t thread;
    int fd;
    SSL *ssl; /* or NULL */
};

struct http_peer {
    SSL_CTX *tls;                /* or NULL */
    http_peer_answer_fn *answer; /* NULL: the path says what is answered */
    void *arg;
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    _Atomic unsigned connections, closed;
    struct client clients[CLIENTS_MAX];
};

static ssize_t receive(struct client *client, char *buffer, size_t size)
{
    if (client->ssl != NULL)
        return SSL_read(client->ssl, buffer, (int)size);
    return recv(client->fd, buffer, size, 0);
}

static void send_all(struct client *client, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = client->ssl != NULL ? SSL_write(client->ssl, data, (int)len)
                                           : send(client->fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static void send_answer(struct client *client, int status, const char *body, size_t len)
{
    char head[128];
    int head_len =
        snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, len);
    send_all(client, head, (size_t)head_len);
    send_all(client, body, len);
}

/* Read one whole request; 0: the client has gone. */
static size_t read_request(struct client *client, char *request)
{
    size_t len = 0;
    for (;;) {
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(request, "Content-Length:");
            size_t body = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
            if (len >= (size_t)(end + 4 - request) + body)
                return len;
        }
        ssize_t got = receive(client, request + len, REQUEST_MAX - len);
        if (got <= 0 || request[0] < ' ') /* such as a TLS handshake */
            return 0;
        len += (size_t)got;
    }
}

static void wait_for_close(struct client *client)
{
    char byte;
    (void)receive(client, &byte, 1);
}

/* Returns whether the connection goes on. */
static bool serve_by_test(struct client *client, const char *request)
{
    char *body = malloc(ANSWER_MAX);
    body[0] = '\0';
    int status = client->peer->answer(client->peer->arg, request, body, ANSWER_MAX);
    if (status == 0)
        wait_for_close(client);
    else
        send_answer(client, status, body, strlen(body));
    free(body);
    return status != 0;
}

static bool serve_by_path(struct client *client, const char *request, size_t len)
{
    char path[256] = "";
    (void)sscanf(request, "%*s %255s", path);
    if (strcmp(path, "/echo") == 0) {
        send_answer(client, 200, request, len);
    } else if (strncmp(path, "/status/", 8) == 0) {
        send_answer(client, atoi(path + 8), "{}", 2);
    } else if (strcmp(path, "/long") == 0) {
        char *body = calloc(1, HTTP_PEER_LONG_BYTES);
        send_answer(client, 200, body, HTTP_PEER_LONG_BYTES);
        free(body);
    } else if (strcmp(path, "/close") == 0) {
        send_answer(client, 200, "{}", 2);
        return false;
    } else if (strcmp(path, "/silent") == 0) {
        wait_for_close(client);
        return false;
    } else if (strcmp(path, "/reset") == 0) {
        struct linger linger = {1, 0};
        (void)setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        return false;
    } else if (strcmp(path, "/half") == 0) {
        send_all(client, "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf", 44);
        return false;
    } else if (strcmp(path, "/junk") == 0) {
        send_all(client, "AMQP\0\0\x09\1 this is no HTTP\r\n\r\n", 29);
        return false;
    } else {
        send_answer(client, 404, "", 0);
    }
    return true;
}

static void *client_run(void *arg)
{
    struct client *client = arg;
    char *request = malloc(REQUEST_MAX + 1);
    size_t len;
    if (client->peer->tls != NULL) {
        client->ssl = SSL_new(client->peer->tls);
        (void)SSL_set_fd(client->ssl, client->fd);
    }
    if (client->ssl == NULL || SSL_accept(client->ssl) == 1) {
        while ((len = read_request(client, request)) > 0 &&
               (client->peer->answer != NULL ? serve_by_test(client, request)
                                             : serve_by_path(client, request, len)))
            ;
    }
    free(request);
    SSL_free(client->ssl);
    close(client->fd);
    client->peer->closed++;
    return NULL;
}

static void *peer_run(void *arg)
{
    struct http_peer *peer = arg;
    int fd;
    while (peer->connections < CLIENTS_MAX && (fd = accept(peer->listen_fd, NULL, NULL)) >= 0) {
        struct client *client = &peer->clients[peer->connections];
        client->peer = peer;
        client->fd = fd;
        if (pthread_create(&client->thread, NULL, client_run, client) != 0)
            abort();
        peer->connections++;
    }
    return NULL;
}

static struct http_peer *start(SSL_CTX *tls, http_peer_answer_fn *answer, void *arg)
{
    struct http_peer *peer = calloc(1, sizeof(*peer));
    peer->tls = tls;
    peer->answer = answer;
    peer->arg = arg;
    peer->listen_fd = loopback_listen(&peer->port);
    /* Connections inherit it. Else a body waits until the head is acknowledged, for 40 ms. */
    int on = 1;
    if (setsockopt(peer->listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
        abort();
    return peer;
}

struct http_peer *http_peer_new(void)
{
    return start(NULL, NULL, NULL);
}

struct http_peer *http_peer_new_answering(http_peer_answer_fn *answer, void *arg)
{
    return start(NULL, answer, arg);
}

struct http_peer *http_peer_new_tls(SSL_CTX *context)
{
    return start(context, NULL, NULL);
}

/* The clients under test must have closed their connections. */
void http_peer_free(struct http_peer *peer)
{
    (void)shutdown(peer->listen_fd, SHUT_RDWR);
    (void)pthread_join(peer->thread, NULL);
    close(peer->listen_fd);
    for (unsigned i = 0; i < peer->connections; i++)
        (void)pthread_join(peer->clients[i].thread, NULL);
    free(peer);
}

uint16_t http_peer_port(const struct http_peer *peer)
{
    return peer->port;
}

unsigned http_peer_connections(const struct http_peer *peer)
{
    return peer->connections;
}

unsigned http_peer_closed(const struct http_peer *peer)
{
    return peer->closed;
}
