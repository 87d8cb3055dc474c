/* The four ends of the link between a bridge and its workers, with every socket option that both
 * sides must agree on. */
#ifndef WORKER_LINK_SOCKET_H
#define WORKER_LINK_SOCKET_H

#include "services/worker/link_key.h"
#include <czmq.h>
#include <stdint.h>

enum link_end {
    LINK_JOBS_TO_WORKERS,     /* PUSH, bound by the bridge; one for each stage */
    LINK_JOBS_FROM_BRIDGE,    /* PULL, connected by a worker */
    LINK_REPLIES_TO_BRIDGE,   /* PUSH, connected by a worker */
    LINK_REPLIES_FROM_WORKERS /* PULL, bound by the bridge */
};

/* What a peer may have sent of a message that is not complete, besides all that the queues hold. */
#define LINK_UNTAKEN_MAX_BYTES (UINT64_C(8) << 20)

/* A new socket with all options set, neither bound nor connected yet; zsock_destroy() it. With
 * `key` (NULL: none) only members come in, or are talked to. Aborts when out of memory or
 * sockets. */
zsock_t *link_socket_new(enum link_end end, const struct link_key *key);

/* For the listening descriptor of a bound TCP socket: segments are limited to the size that they
 * have on Ethernet (link_socket.c says why). */
void link_socket_limit_segments(int listening_fd);

#endif
