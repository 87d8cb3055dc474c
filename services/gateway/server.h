/* The HTTP server of one loop: listener, connections and their limits, draining. */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include "proto/error.h"
#include "services/common/event_loop.h"
#include "services/gateway/api.h"
#include <h2o.h>

struct server_options {
    unsigned max_connections;
    size_t max_buffered_bytes; /* of bodies being received, over all connections */
};

struct server;

/* Everything stays the caller's and must outlive the server. */
struct server *server_new(h2o_loop_t *loop, struct event_loop *events, struct api *api,
                          const struct server_options *options);

/* Whose queue takes messages from other threads. */
h2o_context_t *server_context(struct server *server);

/* A listening socket. Several can have the same address: the kernel spreads connections over them
 * (SO_REUSEPORT). Returns it, or -1 with `err` set. `port` 0 takes a free one. */
int server_socket(const char *address, uint16_t port, struct error *err)
    __attribute__((warn_unused_result));

/* Accept connections on `listen_fd`, which becomes the server's. */
void server_listen(struct server *server, int listen_fd);

/* Accept no more, close idle connections, and the others after their answer. */
void server_drain(struct server *server);

/* Connections that are open. */
unsigned server_connections(const struct server *server);

/* Close the listener and free everything. There must be no connection left. */
void server_free(struct server *server);

#endif
