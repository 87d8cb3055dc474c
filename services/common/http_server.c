/* An HTTP/1.1 server on one libh2o evloop. The listener is watched by the loop while there is room
 * for another connection; without room, or when accept() fails for want of descriptors, it rests
 * until a connection closes or RETRY_MS have passed (a level-triggered listener would spin). */
#include "services/common/http_server.h"
#include "services/common/memory.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 16
#define RETRY_MS 100
#define BACKLOG 1024
/* A client that stops reading its answer is cut by the kernel after this: libh2o has no timer for
 * it. */
#define USER_TIMEOUT_MS 10000

struct http_server {
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_socket_t *listener; /* NULL once stopped */
    h2o_timeout_t retry_timeout;
    h2o_timeout_entry_t retry;
    struct http_server_options options;
    unsigned connections;
};

struct http_handler {
    h2o_handler_t super;
    struct http_server *server;
};

static int listen_failed(int fd, const char *doing, struct error *err)
{
    error_set(err, "cannot %s: %s", doing, strerror(errno));
    (void)close(fd);
    return -1;
}

int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
{
    char service[8];
    struct addrinfo *info, hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                    .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof(service), "%u", port);
    int failed = getaddrinfo(address, service, &hints, &info);
    if (failed != 0) {
        error_set(err, "cannot listen on %s: %s", address, gai_strerror(failed));
        return -1;
    }
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, timeout_ms = USER_TIMEOUT_MS; /* accepted sockets inherit the latter */
    char doing[64];
    (void)snprintf(doing, sizeof(doing), "listen on %.40s port %u", address, port);
    bool failing =
        fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) != 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0;
    freeaddrinfo(info);
    return failing ? listen_failed(fd, doing, err) : fd;
}

static void listener_rest(struct http_server *server)
{
    h2o_socket_read_stop(server->listener);
    if (!h2o_timeout_is_linked(&server->retry))
        h2o_timeout_link(server->context.loop, &server->retry_timeout, &server->retry);
}

static void on_connection_closed(void *data)
{
    struct http_server *server = data;
    server->connections--;
}

static void on_connection(h2o_socket_t *listener, const char *err)
{
    struct http_server *server = listener->data;
    if (err != NULL)
        return;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (server->connections >= server->options.max_connections) {
            listener_rest(server);
            return;
        }
        h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
        if (socket == NULL) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                listener_rest(server);
            return; /* else: none left, or one that has already gone */
        }
        server->connections++;
        socket->on_close.cb = on_connection_closed;
        socket->on_close.data = server;
        h2o_accept(&server->accept, socket);
    }
}

static void on_retry(h2o_timeout_entry_t *entry)
{
    struct http_server *server = H2O_STRUCT_FROM_MEMBER(struct http_server, retry, entry);
    if (server->listener != NULL)
        h2o_socket_read_start(server->listener, on_connection);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *request)
{
    struct http_server *server = ((struct http_handler *)handler)->server;
    return server->options.on_request(server->options.arg, request);
}

struct http_server *http_server_new(h2o_loop_t *loop, int listen_fd,
                                    const struct http_server_options *options)
{
    struct http_server *server = memory_new(sizeof(*server));
    server->options = *options;
    h2o_config_init(&server->config);
    server->config.server_name = h2o_iovec_init(NULL, 0);
    server->config.max_request_entity_size = options->max_body_bytes;
    server->config.http1.req_timeout = (uint64_t)options->request_timeout_ms;
    server->config.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host =
        h2o_config_register_host(&server->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct http_handler *handler = (void *)h2o_create_handler(path, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->server = server;

    h2o_context_init(&server->context, loop, &server->config);
    server->accept.ctx = &server->context;
    server->accept.hosts = server->config.hosts;
    h2o_timeout_init(loop, &server->retry_timeout, RETRY_MS);
    server->retry.cb = on_retry;
    server->listener = h2o_evloop_socket_create(loop, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    server->listener->data = server;
    h2o_socket_read_start(server->listener, on_connection);
    return server;
}

h2o_context_t *http_server_context(struct http_server *server)
{
    return &server->context;
}

/* End the reading side: libh2o closes an idle connection at once, another after its answer. */
static int stop_reading(h2o_req_t *request, void *arg)
{
    (void)arg;
    h2o_socket_t *socket = request->conn->callbacks->get_socket(request->conn);
    (void)shutdown(h2o_socket_get_fd(socket), SHUT_RD); /* fails when the peer has gone: fine */
    return 0;
}

void http_server_stop(struct http_server *server)
{
    if (server->listener == NULL)
        return;
    h2o_socket_close(server->listener);
    server->listener = NULL;
    h2o_timeout_unlink(&server->retry);
    /* Without this, a timer for HTTP/2 connections, of which there are none, is left behind. */
    server->config.http2.callbacks.request_shutdown = NULL;
    h2o_context_request_shutdown(&server->context);
    (void)server->config.http1.callbacks.foreach_request(&server->context, stop_reading, NULL);
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->connections;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    assert(server->listener == NULL && server->connections == 0);
    h2o_timeout_dispose(server->context.loop, &server->retry_timeout);
    h2o_context_dispose(&server->context);
    h2o_config_dispose(&server->config);
    free(server);
}
