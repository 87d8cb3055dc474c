/* A small HTTP/1.1 server on threads, for clients under test. */
#include "tests/unit/common/http_peer.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define CLIENTS_MAX 64

struct client {
    struct http_peer *peer;
    pthread_t thread;
    int fd;
};

struct http_peer {
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    _Atomic unsigned connections;
    struct client clients[CLIENTS_MAX];
};

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static void answer(int fd, int status, const char *body, size_t len)
{
    char head[128];
    int head_len =
        snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, len);
    send_all(fd, head, (size_t)head_len);
    send_all(fd, body, len);
}

/* Read one whole request; 0: the client has gone. */
static size_t read_request(int fd, char *request)
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
        ssize_t got = recv(fd, request + len, REQUEST_MAX - len, 0);
        if (got <= 0)
            return 0;
        len += (size_t)got;
    }
}

/* Returns whether the connection goes on. */
static bool serve(int fd, const char *request, size_t len)
{
    char path[256] = "";
    (void)sscanf(request, "%*s %255s", path);
    if (strcmp(path, "/echo") == 0) {
        answer(fd, 200, request, len);
    } else if (strncmp(path, "/status/", 8) == 0) {
        answer(fd, atoi(path + 8), "{}", 2);
    } else if (strcmp(path, "/long") == 0) {
        char *body = calloc(1, HTTP_PEER_LONG_BYTES);
        answer(fd, 200, body, HTTP_PEER_LONG_BYTES);
        free(body);
    } else if (strcmp(path, "/close") == 0) {
        answer(fd, 200, "{}", 2);
        return false;
    } else if (strcmp(path, "/silent") == 0) {
        char byte;
        (void)!recv(fd, &byte, 1, 0);
        return false;
    } else if (strcmp(path, "/reset") == 0) {
        struct linger linger = {1, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        return false;
    } else if (strcmp(path, "/half") == 0) {
        send_all(fd, "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf", 44);
        return false;
    } else if (strcmp(path, "/junk") == 0) {
        send_all(fd, "AMQP\0\0\x09\1 this is no HTTP\r\n\r\n", 29);
        return false;
    } else {
        answer(fd, 404, "", 0);
    }
    return true;
}

static void *client_run(void *arg)
{
    struct client *client = arg;
    char *request = malloc(REQUEST_MAX + 1);
    size_t len;
    while ((len = read_request(client->fd, request)) > 0 && serve(client->fd, request, len))
        ;
    free(request);
    close(client->fd);
    return NULL;
}

static void *peer_run(void *arg)
{
    struct http_peer *peer = arg;
    int fd;
    while (peer->connections < CLIENTS_MAX && (fd = accept(peer->listen_fd, NULL, NULL)) >= 0) {
        struct client *client = &peer->clients[peer->connections];
        client->fd = fd;
        if (pthread_create(&client->thread, NULL, client_run, client) != 0)
            abort();
        peer->connections++;
    }
    return NULL;
}

struct http_peer *http_peer_new(void)
{
    struct http_peer *peer = calloc(1, sizeof(*peer));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    peer->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(peer->listen_fd, (struct sockaddr *)&address, len) != 0 ||
        listen(peer->listen_fd, 64) != 0 ||
        getsockname(peer->listen_fd, (struct sockaddr *)&address, &len) != 0 ||
        pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
        abort();
    peer->port = ntohs(address.sin_port);
    return peer;
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
