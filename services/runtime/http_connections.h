/* The connections of an HTTP server, and their turns: in each turn of the loop a connection has one
 * request answered, however many it has sent at once. One thread. */
#ifndef RUNTIME_HTTP_CONNECTIONS_H
#define RUNTIME_HTTP_CONNECTIONS_H

#include "services/runtime/request_head.h"
#include <h2o.h>
#include <stdint.h>

/* Answers a request now or later; as http_server_options.handle. */
typedef void http_handle_fn(void *arg, h2o_req_t *req, enum request_head_fault fault);

struct http_connections;

struct http_connections *http_connections_new(http_handle_fn *handle, void *arg);

/* There must be no connection left. */
void http_connections_free(struct http_connections *connections);

/* Serve a connection that was just accepted. */
void http_connections_add(struct http_connections *connections, h2o_accept_ctx_t *accept,
                          h2o_socket_t *sock);

unsigned http_connections_count(const struct http_connections *connections);

/* A request has come whole: handle it, or put it off when its connection has had its turn. */
void http_connections_serve(struct http_connections *connections, h2o_req_t *req,
                            enum request_head_fault fault);

/* Begin a turn: handle what was put off. As http_server_turn(). */
int32_t http_connections_turn(struct http_connections *connections, int32_t wait_ms);

#endif
