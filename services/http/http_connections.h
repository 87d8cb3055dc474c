/* The connections of an HTTP server: what each is doing, how long it may, and which one goes when
 * there is no place for a new one. One thread. */
#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include "services/base/byte_budget.h"
#include "services/http/http_lingering.h"
#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

struct http_connections_options {
    int64_t request_timeout_ms; /* from the first byte of a request to its last */
    int64_t keepalive_ms;       /* without a request */
    bool ends_slow;             /* a request being received may go for a new connection */
    struct byte_budget *bodies; /* or NULL: no limit */
};

struct http_connections;

/* `lingering` stays the caller's. */
struct http_connections *http_connections_new(const struct http_connections_options *options,
                                              struct http_lingering *lingering);

/* There must be no connection left. */
void http_connections_free(struct http_connections *connections);

unsigned http_connections_count(const struct http_connections *connections);

/* Serve a connection that was just accepted. */
void http_connections_add(struct http_connections *connections, h2o_accept_ctx_t *accept,
                          h2o_socket_t *sock);

/* Close a connection that was just accepted, with 503. */
void http_connections_refuse(struct http_connections *connections, h2o_socket_t *sock);

/* A request of `len` bytes has come whole, and is about to be handled. Returns the place for
 * http_turns_serve(), or NULL when the client is no longer there. Before the server decides whether
 * the connection goes on. */
uint64_t *http_connections_begin_request(h2o_req_t *req, size_t len);

/* Before each turn of the loop. */
void http_connections_turn(struct http_connections *connections);

/* End the connections that are over their time: those without a request silently, those that have
 * sent a part of one with 408. */
void http_connections_expire(struct http_connections *connections);

/* End the connection that has been without a request for the longest time. When all have one: with
 * `ends_slow` the one that has been sending it for the longest time, with 503. Returns whether one
 * has ended. */
bool http_connections_make_place(struct http_connections *connections);

/* From now on each answer is its connection's last one. */
void http_connections_last_answers(struct http_connections *connections, h2o_context_t *context);

/* From now on a connection without a request is ended by http_connections_expire(). */
void http_connections_end_idle(struct http_connections *connections);

#endif
