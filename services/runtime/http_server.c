/* libh2o's limits are few: a request must be complete some time after its connection became idle,
 * and a body has a largest size. Here: a number of connections, a sum of what their requests have
 * sent so far (libh2o keeps a body in memory until it is complete), a pause when descriptors run
 * out (a level-triggered listener would spin), and the end of a client that does not read its
 * answer. */
#include "services/runtime/http_server.h"
#include "services/base/memory.h"
#include "services/runtime/h2o_head.h"
#include "services/runtime/http_connections.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_WAKE 64
#define TICK_MS 100
#define SMALL_BODY_BYTES 65536 /* connections that have sent less are left alone */
#define UNREAD_ANSWER_TIMEOUT_MS 10000

struct http_server {
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    struct http_server_options options;
    struct http_connections *connections;
    h2o_socket_t *listener;
    struct loop_timer *tick; /* while there are connections or a pause */
    bool paused;             /* descriptors have run out: accept again at the next tick */
    bool draining;
};

h2o_context_t *http_server_context(struct http_server *server)
{
    return &server->context;
}

unsigned http_server_connections(const struct http_server *server)
{
    return http_connections_count(server->connections);
}

int32_t http_server_turn(struct http_server *server, int32_t wait_ms)
{
    return http_connections_turn(server->connections, wait_ms);
}

/* ---- accepting ---- */

static void refuse_connection(h2o_socket_t *sock)
{
    static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                                  "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";
    (void)!send(h2o_socket_get_fd(sock), refusal, sizeof(refusal) - 1,
                MSG_DONTWAIT | MSG_NOSIGNAL); /* a courtesy */
    h2o_socket_close(sock);
}

static void accept_some(struct http_server *server, unsigned limit)
{
    for (unsigned i = 0; i < limit; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(server->listener);
        if (sock == NULL) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                h2o_socket_read_stop(server->listener);
                server->paused = true;
            }
            break;
        }
        if (http_server_connections(server) >= server->options.max_connections)
            refuse_connection(sock);
        else
            http_connections_add(server->connections, &server->accept, sock);
    }
    if (!loop_timer_running(server->tick))
        loop_timer_start(server->tick, TICK_MS);
}

static void on_connections(h2o_socket_t *listener, const char *err)
{
    if (err == NULL)
        accept_some(listener->data, ACCEPTS_PER_WAKE);
}

int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
{
    char service[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *found;
    (void)snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        error_set(err, "cannot listen on %s: not a numeric address", address);
        return -1;
    }
    int on = 1;
    /* The connections inherit it: the kernel gives up a peer that takes nothing for so long. */
    int unread_ms = UNREAD_ANSWER_TIMEOUT_MS;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms, sizeof(unread_ms)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        error_set(err, "cannot listen on %s port %u: %s", address, port, strerror(errno));
        if (fd != -1)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

void http_server_listen(struct http_server *server, int listen_fd)
{
    server->listener =
        h2o_evloop_socket_create(server->context.loop, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    server->listener->data = server;
    h2o_socket_read_start(server->listener, on_connections);
}

/* ---- requests ---- */

static h2o_socket_t *socket_of(const h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn);
}

struct http_handler {
    h2o_handler_t super;
    const struct http_server *server;
};

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    const struct http_server *server =
        H2O_STRUCT_FROM_MEMBER(struct http_handler, super, handler)->server;
    bool last;
    enum request_head_fault fault = h2o_head_fault(socket_of(req)->input, &last);
    if (last)
        req->http1_is_persistent = 0; /* what follows is not looked at */
    http_connections_serve(server->connections, req, fault);
    return 0;
}

h2o_iovec_t http_request_path(const h2o_req_t *req)
{
    struct request_text path =
        request_target_path((struct request_text){req->path.base, req->path.len});
    return h2o_iovec_init(path.base, path.len);
}

/* ---- connections under way ---- */

/* libh2o reads from a connection only while it waits for a request. */
static bool is_receiving(const h2o_req_t *req)
{
    return h2o_socket_is_reading(socket_of(req));
}

static void for_each_connection(struct http_server *server, int (*visit)(h2o_req_t *req, void *arg),
                                void *arg)
{
    server->config.http1.callbacks.foreach_request(&server->context, visit, arg);
}

static int add_buffered(h2o_req_t *req, void *arg)
{
    size_t *sum = arg;
    *sum += socket_of(req)->input->capacity;
    return 0;
}

struct shedding {
    size_t sum, limit;
};

/* The connection ends in the loop's next turn, as if the client had closed it. */
static int shed(h2o_req_t *req, void *arg)
{
    struct shedding *shedding = arg;
    size_t buffered = socket_of(req)->input->capacity;
    if (shedding->sum > shedding->limit && is_receiving(req) && buffered > SMALL_BODY_BYTES) {
        shutdown(h2o_socket_get_fd(socket_of(req)), SHUT_RDWR);
        shedding->sum -= buffered;
    }
    return 0;
}

static void bound_buffers(struct http_server *server)
{
    /* Too few to reach the limit: do not even look. A buffer grows by doubling. */
    size_t limit = server->options.max_buffered_bytes;
    if (limit == 0 || http_server_connections(server) * 2 * server->options.max_body_bytes <= limit)
        return;
    struct shedding shedding = {0, limit};
    for_each_connection(server, add_buffered, &shedding.sum);
    if (shedding.sum > limit)
        for_each_connection(server, shed, &shedding);
}

static int end_connection(h2o_req_t *req, void *arg)
{
    (void)arg;
    req->http1_is_persistent = 0; /* an answer to come is the last one */
    if (is_receiving(req) && socket_of(req)->input->size == 0)
        shutdown(h2o_socket_get_fd(socket_of(req)), SHUT_RD); /* idle */
    return 0;
}

static void on_tick(void *arg)
{
    struct http_server *server = arg;
    if (server->paused && server->listener != NULL)
        h2o_socket_read_start(server->listener, on_connections);
    server->paused = false;
    bound_buffers(server);
    if (server->draining)
        for_each_connection(server, end_connection, NULL);
    if (http_server_connections(server) > 0)
        loop_timer_start(server->tick, TICK_MS);
}

/* ---- life ---- */

struct http_server *http_server_new(h2o_loop_t *loop, struct event_loop *events,
                                    const struct http_server_options *options)
{
    struct http_server *server = memory_new(sizeof(*server));
    server->options = *options;
    server->connections = http_connections_new(options->handle, options->arg);

    h2o_config_init(&server->config);
    server->config.server_name = h2o_iovec_init(NULL, 0);
    server->config.max_request_entity_size = options->max_body_bytes;
    server->config.http1.req_timeout = (uint64_t)options->request_timeout_ms;
    server->config.http1.upgrade_to_http2 = 0;
    /* It would arm a timer that forbids to dispose of the context (lib/http2/connection.c). */
    server->config.http2.callbacks.request_shutdown = NULL;
    h2o_hostconf_t *host =
        h2o_config_register_host(&server->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    struct http_handler *handler = H2O_STRUCT_FROM_MEMBER(
        struct http_handler, super,
        h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(*handler)));
    handler->super.on_req = on_request;
    handler->server = server;
    if (options->attach != NULL)
        options->attach(options->arg, host);

    h2o_context_init(&server->context, loop, &server->config);
    server->accept = (h2o_accept_ctx_t){.ctx = &server->context, .hosts = server->config.hosts};
    server->tick = event_loop_timer(events, on_tick, server);
    return server;
}

static void close_listener(struct http_server *server)
{
    if (server->listener == NULL)
        return;
    h2o_socket_close(server->listener);
    server->listener = NULL;
}

void http_server_drain(struct http_server *server)
{
    /* Closing the listener would reset what waits in it. */
    if (server->listener != NULL)
        accept_some(server, server->options.max_connections);
    close_listener(server);
    server->draining = true;
    h2o_context_request_shutdown(&server->context);
    for_each_connection(server, end_connection, NULL);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    http_connections_free(server->connections);
    close_listener(server);
    loop_timer_free(server->tick);
    h2o_context_dispose(&server->context);
    h2o_config_dispose(&server->config);
    free(server);
}
