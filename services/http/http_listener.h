/* A listening socket of an HTTP server. One thread. */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include "proto/error.h"
#include "services/loop/event_loop.h"
#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

/* Listen on a numeric address; "::" is every address of the machine, also where its kernel has no
 * IPv6. `port` 0 takes a free one. `shared`: several sockets may have the
 * same address, the kernel spreads connections over them (SO_REUSEPORT). Returns the socket, or -1
 * with `err` set. */
int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
    __attribute__((warn_unused_result));

struct http_listener_events {
    void (*on_connection)(void *arg, h2o_socket_t *sock); /* which becomes the callee's */
    bool (*is_full)(void *arg);
    /* Full, or out of descriptors: close a connection. Returns whether that was done. */
    bool (*make_place)(void *arg);
    void *arg;
};

struct http_listener;

/* Accept connections on `listen_fd`, which becomes the listener's. */
struct http_listener *http_listener_new(h2o_loop_t *loop, struct event_loop *events, int listen_fd,
                                        const struct http_listener_events *on);

/* Take no new connections: as if their first packets were lost. Those whose handshake is under way
 * are still taken. NULL is legal. */
void http_listener_refuse_new(struct http_listener *listener);

/* Accept what waits, then close the socket. NULL is legal. */
void http_listener_free(struct http_listener *listener);

#endif
