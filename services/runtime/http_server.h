/* An HTTP/1.1 server on one libh2o evloop, for one thread: listener, connections and their limits,
 * draining. HTTP/2 is off (libh2o 2.2.5 has no rapid-reset fix) and no Server header is sent. */
#ifndef RUNTIME_HTTP_SERVER_H
#define RUNTIME_HTTP_SERVER_H

#include "proto/error.h"
#include "services/loop/event_loop.h"
#include "services/runtime/request_head.h"
#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Listen on a numeric address; `port` 0 takes a free one. `shared`: several sockets may have the
 * same address, the kernel spreads connections over them (SO_REUSEPORT). Returns the socket, or -1
 * with `err` set. */
int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
    __attribute__((warn_unused_result));

struct http_server_options {
    unsigned max_connections;   /* one more is answered 503 at once */
    size_t max_body_bytes;      /* libh2o answers a longer one with its own 413 */
    size_t max_buffered_bytes;  /* of bodies being received, over all connections; 0 = no limit */
    int64_t request_timeout_ms; /* of receiving a request, and of an idle connection */
    /* Answer a request. When its head is at fault, with the error that says so: its connection ends
     * after that. */
    void (*handle)(void *arg, h2o_req_t *req, enum request_head_fault fault);
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

/* Accept no more, close idle connections, and the others after their answer. */
void http_server_drain(struct http_server *server);

/* The path of a request as the client sent it, without the query: nothing is decoded, dot segments
 * stay. */
h2o_iovec_t http_request_path(const h2o_req_t *req);

/* Connections that are open. */
unsigned http_server_connections(const struct http_server *server);

/* Close the listener and free everything. There must be no connection left: libh2o cannot dispose
 * of a context that has one. */
void http_server_free(struct http_server *server);

#endif
