/* The four ends of the link between a bridge and its workers, with every socket option that both
 * sides must agree on. */
#ifndef WORKER_LINK_SOCKET_H
#define WORKER_LINK_SOCKET_H

#include <czmq.h>

enum link_end {
    LINK_JOBS_TO_WORKERS,     /* PUSH, bound by the bridge; one for each stage */
    LINK_JOBS_FROM_BRIDGE,    /* PULL, connected by a worker */
    LINK_REPLIES_TO_BRIDGE,   /* PUSH, connected by a worker */
    LINK_REPLIES_FROM_WORKERS /* PULL, bound by the bridge */
};

/* A new socket with all options set, neither bound nor connected yet; zsock_destroy() it. Aborts
 * when out of memory or sockets. */
zsock_t *link_socket_new(enum link_end end);

/* Bind as zsock_bind(): 0, or -1 with errno set. Over TCP, segments are limited to the size that
 * they have on Ethernet (link_socket.c says why). */
int link_socket_bind(zsock_t *socket, const char *endpoint) __attribute__((warn_unused_result));

/* Watch a socket: the result delivers its ZMQ_EVENT_… `events` to link_socket_read_event(), which
 * waits for one; zsock_destroy() it. zmq_socket_monitor(3). */
zsock_t *link_socket_monitor(zsock_t *socket, int events);
int link_socket_read_event(zsock_t *monitor, int *ret_value);

#endif
