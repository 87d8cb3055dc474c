/* An HTTP/1.1 server on one libh2o evloop, for one thread: what every server of the pipeline needs
 * around its handler. HTTP/2 is off (libh2o 2.2.5 has no rapid-reset fix), no Server header is
 * sent, and connections, body and time are limited. Nothing here may be called from another thread.
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include "proto/error.h"
#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Listen on a numeric IPv4 or IPv6 address; close() the result. `shared`: several sockets may
 * listen on the same port, the kernel spreads connections over them (SO_REUSEPORT). Returns -1 with
 * `err` set when it cannot. */
int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
    __attribute__((warn_unused_result));

struct http_server_options {
    unsigned max_connections;   /* beyond them connections wait in the kernel's queue */
    size_t max_body_bytes;      /* a longer one gets libh2o's own 413 */
    int64_t request_timeout_ms; /* for head and body together, and for an idle connection */
    /* Answer the request, now or later in the same loop; return 0. */
    int (*on_request)(void *arg, h2o_req_t *request);
    void *arg;
};

struct http_server;

/* `listen_fd` is taken. */
struct http_server *http_server_new(h2o_loop_t *loop, int listen_fd,
                                    const struct http_server_options *options);

/* The context, for timers and messages of other threads. */
h2o_context_t *http_server_context(struct http_server *server);

/* Listen no more, close idle connections, and the others after their answers. */
void http_server_stop(struct http_server *server);

unsigned http_server_connections(const struct http_server *server);

/* After http_server_stop(), when no connection is left, and when receivers registered on the
 * context's queue are unregistered. (libh2o cannot dispose of a context with connections: at the
 * drain's deadline leave it and end the process.) */
void http_server_free(struct http_server *server);

#endif
