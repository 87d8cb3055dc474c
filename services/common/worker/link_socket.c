/* What a stopped worker can swallow is what these queues and kernel buffers hold, besides what it
 * has read: so they are small for jobs. Measured on loopback with 50 orders a message: 1,650 orders
 * of 46 bytes (short names), 600 of 200 bytes, at over a million orders a second. Smaller kernel
 * buffers swallow less, but TCP falls into stalls of 40 or 200 ms with them as soon as one worker
 * reads slowly: seen with 4096 in 2 of 10 runs and with 8192 in 1 of 5, down to 200 orders a
 * second, and never with 16384 in 14. A send buffer smaller than the receive buffer stalls always.
 * (An ipc:// socket has the kernel's own buffers.) Replies may queue longer: losing them costs a
 * redelivery, and they are short.
 *
 * Heartbeats (ZMTP 3.1, PING and PONG) find a peer that is gone without a FIN. libzmq reads nothing
 * from a connection whose inbound queue is full, heartbeats neither, and then drops it after the
 * timeout with all that it holds: a reader must take a message at least every LINK_TIMEOUT_MS. */
#include "services/common/worker/link_socket.h"
#include "proto/job.h"

#define HEARTBEAT_MS 1000
#define LINK_TIMEOUT_MS 3000
#define JOBS_HIGH_WATER_MARK 2
#define JOBS_KERNEL_BUFFER_BYTES 16384
#define REPLIES_HIGH_WATER_MARK 64
#define REPLIES_LINGER_MS 1000
#define RECONNECT_MS 100
#define RECONNECT_MAX_MS 1000

zsock_t *link_socket_new(enum link_end end)
{
    bool sends = end == LINK_JOBS_TO_WORKERS || end == LINK_REPLIES_TO_BRIDGE;
    zsock_t *socket = zsock_new(sends ? ZMQ_PUSH : ZMQ_PULL);
    if (!socket)
        abort();

    zsock_set_maxmsgsize(socket, MESSAGE_MAX_BYTES);
    zsock_set_heartbeat_ivl(socket, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(socket, LINK_TIMEOUT_MS);
    zsock_set_heartbeat_ttl(socket, LINK_TIMEOUT_MS);
    zsock_set_reconnect_ivl(socket, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(socket, RECONNECT_MAX_MS);
    zsock_set_linger(socket, 0);

    switch (end) {
    case LINK_JOBS_TO_WORKERS:
        zsock_set_sndhwm(socket, JOBS_HIGH_WATER_MARK);
        zsock_set_sndbuf(socket, JOBS_KERNEL_BUFFER_BYTES);
        break;
    case LINK_JOBS_FROM_BRIDGE:
        zsock_set_rcvhwm(socket, JOBS_HIGH_WATER_MARK);
        zsock_set_rcvbuf(socket, JOBS_KERNEL_BUFFER_BYTES);
        break;
    case LINK_REPLIES_TO_BRIDGE:
        zsock_set_sndhwm(socket, REPLIES_HIGH_WATER_MARK);
        zsock_set_immediate(socket, 1); /* queue nothing for a bridge that is not connected */
        zsock_set_linger(socket, REPLIES_LINGER_MS);
        break;
    case LINK_REPLIES_FROM_WORKERS:
        zsock_set_rcvhwm(socket, REPLIES_HIGH_WATER_MARK);
        break;
    }
    return socket;
}
