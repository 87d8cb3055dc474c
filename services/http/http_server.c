/* Ties the parts together: libh2o's configuration, the listener, the connections and their turns.
 * And drains them, in this order: answers say "Connection: close" while new connections are still
 * taken; no new ones; then those whose handshake was under way are accepted and the listener is
 * closed; at last the idle ones. An idle connection is ended as late as that because a client may
 * send a request at that moment, and cannot know whether it was executed. */
#include "services/http/http_server.h"
#include "services/base/memory.h"
#include "services/http/h2o_head.h"
#include "services/http/http_connections.h"
#include "services/http/http_lingering.h"
#include <stdlib.h>

#define TICK_MS 250
#define DRAIN_TICK_MS 50
#define HANDSHAKE_MS 200 /* of a connection whose first packet came before the drain */
#define LAST_IDLE_MS 800
/* libh2o's own timer goes by the wall clock, and has nothing left to do. */
#define LIBH2O_TIMEOUT_MS (UINT64_C(365) * 24 * 3600 * 1000)

enum drain_step { DRAIN_NOT, DRAIN_LISTENING, DRAIN_REFUSING, DRAIN_CLOSED, DRAIN_ENDING };

struct http_server {
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    struct event_loop *events;
    unsigned max_connections;
    struct http_turns turns;
    struct http_lingering *lingering;
    struct http_connections *connections;
    struct http_listener *listener; /* NULL once it is closed */
    struct loop_timer *tick;        /* while there are connections */
    struct loop_timer *drain;
    enum drain_step step;
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
    http_connections_turn(server->connections);
    return http_turns_begin(&server->turns, wait_ms);
}

/* ---- connections ---- */

static void on_tick(void *arg)
{
    struct http_server *server = arg;
    http_connections_expire(server->connections);
    if (http_server_connections(server) > 0)
        loop_timer_start(server->tick, server->step == DRAIN_NOT ? TICK_MS : DRAIN_TICK_MS);
}

static bool make_place(void *arg)
{
    struct http_server *server = arg;
    return http_connections_make_place(server->connections);
}

static bool is_full(void *arg)
{
    struct http_server *server = arg;
    return http_server_connections(server) >= server->max_connections;
}

static void on_connection(void *arg, h2o_socket_t *sock)
{
    struct http_server *server = arg;
    if (is_full(server) && !make_place(server)) {
        http_connections_refuse(server->connections, sock);
        return;
    }
    http_connections_add(server->connections, &server->accept, sock);
    if (!loop_timer_running(server->tick))
        loop_timer_start(server->tick, TICK_MS);
}

void http_server_listen(struct http_server *server, int listen_fd)
{
    server->listener =
        http_listener_new(server->context.loop, server->events, listen_fd,
                          &(struct http_listener_events){.on_connection = on_connection,
                                                         .is_full = is_full,
                                                         .make_place = make_place,
                                                         .arg = server});
}

/* ---- requests ---- */

struct http_handler {
    h2o_handler_t super;
    struct http_server *server;
};

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    struct http_server *server =
        H2O_STRUCT_FROM_MEMBER(struct http_handler, super, handler)->server;
    size_t head_len;
    bool last;
    enum request_head_fault fault = h2o_head_take_verdict(req, &head_len, &last);
    uint64_t *served_turn = http_connections_begin_request(req, head_len + req->entity.len);
    if (served_turn == NULL) {
        req->http1_is_persistent = 0;
        h2o_send_inline(req, NULL, 0); /* nobody gets it: libh2o closes the connection */
        return 0;
    }
    /* libh2o overlooks a "close" beside "keep-alive", and takes any other option for a "close". */
    req->http1_is_persistent = !last && !server->context.shutdown_requested;
    http_turns_serve(&server->turns, served_turn, req, fault);
    return 0;
}

h2o_iovec_t http_request_path(const h2o_req_t *req)
{
    struct request_text path =
        request_target_path((struct request_text){req->path.base, req->path.len});
    return h2o_iovec_init(path.base, path.len);
}

/* ---- draining ---- */

static void drain_next(void *arg)
{
    struct http_server *server = arg;
    switch (server->step) {
    case DRAIN_NOT:
    case DRAIN_ENDING:
        break;
    case DRAIN_LISTENING:
        server->step = DRAIN_REFUSING;
        http_listener_refuse_new(server->listener);
        loop_timer_start(server->drain, HANDSHAKE_MS);
        break;
    case DRAIN_REFUSING:
        server->step = DRAIN_CLOSED;
        http_listener_free(server->listener);
        server->listener = NULL;
        loop_timer_start(server->drain, LAST_IDLE_MS);
        break;
    case DRAIN_CLOSED:
        server->step = DRAIN_ENDING;
        http_connections_end_idle(server->connections);
        loop_timer_start(server->tick, DRAIN_TICK_MS);
        break;
    }
}

void http_server_drain(struct http_server *server, int64_t listen_ms)
{
    http_connections_last_answers(server->connections, &server->context);
    server->step = DRAIN_LISTENING;
    if (listen_ms > 0) {
        loop_timer_start(server->drain, listen_ms);
        return;
    }
    http_listener_free(server->listener);
    server->listener = NULL;
    server->step = DRAIN_CLOSED;
    drain_next(server);
}

bool http_server_drained(const struct http_server *server)
{
    return server->step == DRAIN_ENDING && http_server_connections(server) == 0 &&
           http_lingering_count(server->lingering) == 0;
}

/* ---- life ---- */

static void configure(struct http_server *server, const struct http_server_options *options)
{
    h2o_config_init(&server->config);
    server->config.server_name = h2o_iovec_init(NULL, 0);
    server->config.max_request_entity_size = options->max_body_bytes;
    server->config.http1.req_timeout = LIBH2O_TIMEOUT_MS;
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
}

struct http_server *http_server_new(h2o_loop_t *loop, struct event_loop *events,
                                    const struct http_server_options *options)
{
    struct http_server *server = memory_new(sizeof(*server));
    server->events = events;
    server->max_connections = options->max_connections;
    configure(server, options);
    h2o_context_init(&server->context, loop, &server->config);
    server->accept = (h2o_accept_ctx_t){.ctx = &server->context, .hosts = server->config.hosts};
    http_turns_init(&server->turns, options->handle, options->arg);
    server->lingering = http_lingering_new(events);
    server->connections = http_connections_new(
        &(struct http_connections_options){.request_timeout_ms = options->request_timeout_ms,
                                           .keepalive_ms = options->keepalive_ms,
                                           .ends_slow = options->ends_slow,
                                           .bodies = options->bodies},
        server->lingering);
    server->tick = event_loop_timer(events, on_tick, server);
    server->drain = event_loop_timer(events, drain_next, server);
    return server;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    http_listener_free(server->listener);
    http_connections_free(server->connections);
    http_lingering_free(server->lingering);
    loop_timer_free(server->tick);
    loop_timer_free(server->drain);
    h2o_context_dispose(&server->context);
    h2o_config_dispose(&server->config);
    free(server);
}
