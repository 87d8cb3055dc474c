/* What a stopped worker can swallow is what these queues and kernel buffers hold, besides what it
 * has read: so they are small for jobs. Measured on loopback with 50 orders a job: 1,650 orders
 * of 46 bytes (short names), 600 of 200 bytes, at over a million orders a second. (An ipc:// socket
 * has the kernel's own buffers.) Replies may queue longer: losing them costs a redelivery, and they
 * are short.
 *
 * On loopback a segment may have 64 KB, more than these buffers. Some recoveries of a failing
 * worker then stuck at some hundred orders a second instead of 30,000: a few times in some 50 runs
 * with buffers of 4096 to 16384, on Linux 6.18. The sender was seen waiting for window with its
 * persist timer (200 ms), which suggests a next segment larger than the window that the reader
 * announces. With segments limited to MAX_SEGMENT_BYTES it did not occur in 14 runs (in 1 of 14
 * without, side by side), which is no proof; the slowest run was faster, too. A send buffer smaller
 * than the receive buffer adds stalls of 40 ms at some sizes of a job.
 *
 * Heartbeats (ZMTP 3.1, PING and PONG) find a peer that is gone without a FIN. The end that sends
 * asks, and the question tells the other end how long it may wait for the next one. libzmq reads
 * nothing from a connection whose inbound queue is full, heartbeats neither, and then drops it
 * after the timeout with all that it holds: a reader must take a frame at least every
 * LINK_TIMEOUT_MS. libzmq 4.3.4 aborts ("!_io_error") when it asks on a connection that was lost
 * while its queue was full. So the end that reads does not ask, and the queue of the end that
 * sends, which nobody reads, has no limit but that of link_monitor.c. */
#include "services/worker/link_socket.h"
#include "proto/job.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#define HEARTBEAT_MS 1000
#define LINK_TIMEOUT_MS 3000
#define JOBS_HIGH_WATER_MARK 2
#define JOBS_KERNEL_BUFFER_BYTES 16384
#define MAX_SEGMENT_BYTES 1400
#define REPLIES_HIGH_WATER_MARK 64
#define REPLIES_LINGER_MS 1000
#define RECONNECT_MS 100
#define RECONNECT_MAX_MS 1000

zsock_t *link_socket_new(enum link_end end, const struct link_key *key)
{
    bool sends = end == LINK_JOBS_TO_WORKERS || end == LINK_REPLIES_TO_BRIDGE;
    zsock_t *socket = zsock_new(sends ? ZMQ_PUSH : ZMQ_PULL);
    if (!socket)
        abort();

    zsock_set_ipv6(socket, 1); /* a wildcard address then listens on both families */
    zsock_set_maxmsgsize(socket, FRAME_MAX_BYTES + (key ? LINK_KEY_FRAME_BYTES : 0));
    zsock_set_handshake_ivl(socket, LINK_TIMEOUT_MS);
    zsock_set_reconnect_ivl(socket, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(socket, RECONNECT_MAX_MS);
    zsock_set_linger(socket, 0);
    if (sends) {
        zsock_set_heartbeat_ivl(socket, HEARTBEAT_MS);
        zsock_set_heartbeat_timeout(socket, LINK_TIMEOUT_MS);
        zsock_set_heartbeat_ttl(socket, LINK_TIMEOUT_MS);
        zsock_set_rcvhwm(socket, 0);
    }
    if (key && (end == LINK_JOBS_TO_WORKERS || end == LINK_REPLIES_FROM_WORKERS))
        link_key_guard(key, socket);
    else if (key)
        link_key_present(key, socket);

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

/* Sockets that a listening one accepts inherit its options. */
void link_socket_limit_segments(int listening_fd)
{
    const int segment = MAX_SEGMENT_BYTES;
    if (setsockopt(listening_fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) != 0)
        abort();
}
