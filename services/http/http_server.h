/* An HTTP/1.1 server on one libh2o evloop, for one thread: connections and their limits, turns, and
 * draining. HTTP/2 is off (libh2o 2.2.5 has no rapid-reset fix) and no Server header is sent. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "services/base/byte_budget.h"
#include "services/http/http_listener.h"
#include "services/http/http_turns.h"
#include "services/loop/event_loop.h"
#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server_options {
    /* For one more, the one is closed that has been idle for the longest time. When none is idle,
     * the one that has been sending its request for the longest time if `ends_slow`, else the new
     * one is answered 503. */
    unsigned max_connections;
    bool ends_slow;
    size_t max_body_bytes;      /* libh2o answers a longer one with its own 413 */
    struct byte_budget *bodies; /* past it a connection is answered 503; NULL: no limit */
    int64_t request_timeout_ms; /* from a request's first byte to its last; then 408 */
    int64_t keepalive_ms;       /* of a connection without a request */
    /* Answer a request. When its head is at fault, with the error that says so: its connection ends
     * after that. */
    http_handle_fn *handle;
    /* Optional: register filters for what libh2o answers by itself, on host->fallback_path. */
    void (*attach)(void *arg, h2o_hostconf_t *host);
    void *arg;
};

struct http_server;

/* Both loops are of the same thread, stay the caller's and must outlive the server. */
struct http_server *http_server_new(h2o_loop_t *loop, struct event_loop *events,
                                    const struct http_server_options *options);

/* Whose queue takes messages from other threads. */
h2o_context_t *http_server_context(struct http_server *server);

/* Accept connections on `listen_fd`, which becomes the server's. */
void http_server_listen(struct http_server *server, int listen_fd);

/* Before each turn of the loop: answer the requests that have waited for it (a connection has one a
 * turn). Returns how long the loop may wait for events then: `wait_ms`, or 0 when there is more to
 * do. Give that to h2o_evloop_run(). */
int32_t http_server_turn(struct http_server *server, int32_t wait_ms)
    __attribute__((warn_unused_result));

/* From now on answers end their connections. New connections are taken for another `listen_ms`,
 * while load balancers learn that the server goes. Then the listener is closed, and at last what is
 * idle. */
void http_server_drain(struct http_server *server, int64_t listen_ms);

/* Whether it has drained, and every connection has ended. */
bool http_server_drained(const struct http_server *server);

/* The path of a request as the client sent it, without the query: nothing is decoded, dot segments
 * stay. */
h2o_iovec_t http_request_path(const h2o_req_t *req);

/* Connections that are open. */
unsigned http_server_connections(const struct http_server *server);

/* Free everything. There must be no connection left: libh2o cannot dispose of a context that has
 * one. */
void http_server_free(struct http_server *server);

#endif
