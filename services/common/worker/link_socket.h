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

#endif
