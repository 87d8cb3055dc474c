/* libzmq counts whole messages against its high-water marks. The frames of an unfinished message
 * wait where no limit applies, on a socket that only sends, too: a peer that never ends its message
 * fills the memory. So the bytes that libzmq has read from each TCP connection (what the kernel has
 * received, less what still waits there) are compared with those that were taken from the socket,
 * several times a second. A connection with too large a difference is shut down, as its peer would
 * do it. Heartbeats are taken by nobody, and are allowed for: at 50 bytes a second, of which they
 * use 44 with CURVE. A peer that fills the rest gains less than 5 MB a day.
 *
 * The socket that brings libzmq's events has no limit: libzmq's thread would wait for a reader, and
 * all connections of the process with it. */
#include "services/worker/link_monitor.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/worker/link_socket.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_PER_WAKE 1024 /* then the rest of the loop has its turn */
#define SWEEP_MS 100
#define HEARTBEAT_BYTES_PER_SECOND 50
#define SHORT_HEADER_BYTES 2 /* ZMTP's, of a frame of up to SHORT_FRAME_BYTES */
#define LONG_HEADER_BYTES 9
#define SHORT_FRAME_BYTES 255

struct peer {
    ino_t socket; /* which one the descriptor is; 0: none */
    int64_t since_ms;
    uint64_t taken_bytes;
};

struct link_monitor {
    struct link_monitor_options options;
    void *socket;
    zsock_t *events;
    struct loop_watch *watch;
    struct loop_timer *sweep; /* runs while there are TCP connections */
    struct peer *peers;       /* by descriptor */
    size_t peer_capacity, peers_open;
    struct metric_counter *cut;
};

/* ---- peers ---- */

/* The socket's number, 0 when the descriptor is no TCP connection. */
static ino_t tcp_socket(int fd)
{
    struct stat status;
    int protocol = 0;
    socklen_t size = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
                   protocol == IPPROTO_TCP && fstat(fd, &status) == 0
               ? status.st_ino
               : 0;
}

static bool is_peer(const struct link_monitor *monitor, int fd)
{
    return fd >= 0 && (size_t)fd < monitor->peer_capacity && monitor->peers[fd].socket != 0;
}

static void forget_peer(struct link_monitor *monitor, int fd)
{
    if (!is_peer(monitor, fd))
        return;
    monitor->peers[fd].socket = 0;
    monitor->peers_open--;
}

static void add_peer(struct link_monitor *monitor, int fd)
{
    ino_t socket = monitor->options.tcp ? tcp_socket(fd) : 0;
    if (socket == 0)
        return;
    if ((size_t)fd >= monitor->peer_capacity) {
        size_t capacity = 2 * (size_t)fd + 1;
        monitor->peers = memory_resize(monitor->peers, capacity * sizeof *monitor->peers);
        memset(monitor->peers + monitor->peer_capacity, 0,
               (capacity - monitor->peer_capacity) * sizeof *monitor->peers);
        monitor->peer_capacity = capacity;
    }
    forget_peer(monitor, fd);
    monitor->peers[fd] = (struct peer){.socket = socket, .since_ms = clock_monotonic_ms()};
    monitor->peers_open++;
    if (!loop_timer_running(monitor->sweep))
        loop_timer_start(monitor->sweep, SWEEP_MS);
}

static void credit(struct link_monitor *monitor, zmq_msg_t *frame)
{
    int fd = zmq_msg_get(frame, ZMQ_SRCFD);
    if (!is_peer(monitor, fd))
        link_monitor_read(monitor); /* the event came before the frame */
    if (!is_peer(monitor, fd))
        return; /* it is gone */
    size_t bytes = zmq_msg_size(frame) + (monitor->options.encrypted ? LINK_KEY_FRAME_BYTES : 0);
    bytes += bytes > SHORT_FRAME_BYTES ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES;
    monitor->peers[fd].taken_bytes += bytes;
}

/* What libzmq has read from a TCP socket, 0 when the kernel does not tell. Bytes that arrive
 * between the two questions make it less. */
static uint64_t bytes_read(int fd)
{
    /* tcpi_bytes_received of Linux's struct tcp_info, since 4.1; the C library's ends before it. */
    struct {
        uint64_t before[16], received;
    } info = {0};
    socklen_t size = sizeof info;
    int waiting = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < sizeof info ||
        ioctl(fd, FIONREAD, &waiting) != 0 || info.received < (uint64_t)waiting)
        return 0;
    return info.received - (uint64_t)waiting;
}

/* libzmq may close the descriptor at any moment, and it may be another connection's then. The copy
 * stays what it is. */
static void cut(struct link_monitor *monitor, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return; /* the next sweep tries again */
    if (tcp_socket(copy) == monitor->peers[fd].socket) {
        static struct log_limit limit = {.period_ms = 60000};
        (void)shutdown(copy, SHUT_RDWR);
        metric_add(monitor->cut, 1);
        log_warn_limited(&limit, "connection cut: its peer sent a message without end");
    }
    (void)close(copy);
    forget_peer(monitor, fd);
}

static void look_at(struct link_monitor *monitor, int fd, int64_t now_ms)
{
    const struct peer *peer = &monitor->peers[fd];
    uint64_t heartbeats = (uint64_t)(now_ms - peer->since_ms) * HEARTBEAT_BYTES_PER_SECOND / 1000;
    if (bytes_read(fd) > peer->taken_bytes + heartbeats + LINK_UNTAKEN_MAX_BYTES)
        cut(monitor, fd);
}

static void on_sweep(void *arg)
{
    struct link_monitor *monitor = arg;
    int64_t now_ms = clock_monotonic_ms();
    link_monitor_read(monitor); /* who is gone */
    for (size_t fd = 0, left = monitor->peers_open; left > 0 && fd < monitor->peer_capacity; fd++) {
        if (monitor->peers[fd].socket == 0)
            continue;
        left--;
        look_at(monitor, (int)fd, now_ms);
    }
    if (monitor->peers_open > 0)
        loop_timer_start(monitor->sweep, SWEEP_MS);
}

/* ---- events ---- */

/* The first of an event's two frames: uint16 event, uint32 value. */
static bool read_event(struct link_monitor *monitor, uint16_t *ret_event, int32_t *ret_value)
{
    uint8_t bytes[sizeof *ret_event + sizeof *ret_value];
    if (zmq_recv(zsock_resolve(monitor->events), bytes, sizeof bytes, ZMQ_DONTWAIT) !=
        (int)sizeof bytes)
        return false;
    (void)zmq_recv(zsock_resolve(monitor->events), NULL, 0, ZMQ_DONTWAIT); /* the endpoint */
    memcpy(ret_event, bytes, sizeof *ret_event);
    memcpy(ret_value, bytes + sizeof *ret_event, sizeof *ret_value);
    return true;
}

void link_monitor_read(struct link_monitor *monitor)
{
    uint16_t event;
    int32_t value;
    for (unsigned i = 0; i < EVENTS_PER_WAKE && read_event(monitor, &event, &value); i++) {
        if (event == ZMQ_EVENT_ACCEPTED || event == ZMQ_EVENT_CONNECTED)
            add_peer(monitor, value);
        else if (event == ZMQ_EVENT_DISCONNECTED)
            forget_peer(monitor, value);
        monitor->options.on_event(monitor->options.arg, event, value);
    }
}

static void on_readable(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    link_monitor_read(arg);
}

bool link_monitor_receive(struct link_monitor *monitor, zmq_msg_t *frame)
{
    if (zmq_msg_recv(frame, monitor->socket, ZMQ_DONTWAIT) < 0)
        return false;
    if (monitor->options.tcp)
        credit(monitor, frame);
    return true;
}

/* ---- life ---- */

struct link_monitor *link_monitor_new(const struct link_monitor_options *options)
{
    struct link_monitor *monitor = memory_new(sizeof *monitor);
    char address[64];
    monitor->options = *options;
    monitor->socket = zsock_resolve(options->socket);
    monitor->cut = metric_counter("link_cut_connections_total", NULL,
                                  "Connections between a bridge and a worker that were cut because "
                                  "of a message without end.");
    (void)snprintf(address, sizeof address, "inproc://link-%p-%08x", (void *)options->socket,
                   arc4random()); /* it fits */
    monitor->events = zsock_new(ZMQ_PAIR);
    if (monitor->events == NULL || zmq_socket_monitor(monitor->socket, address, ZMQ_EVENT_ALL) != 0)
        abort();
    zsock_set_rcvhwm(monitor->events, 0); /* before the connection is made */
    if (zsock_connect(monitor->events, "%s", address) != 0)
        abort();
    monitor->watch = event_loop_watch_zmq(options->loop, monitor->events, on_readable, monitor);
    loop_watch_want(monitor->watch, true, false);
    monitor->sweep = event_loop_timer(options->loop, on_sweep, monitor);
    return monitor;
}

void link_monitor_free(struct link_monitor *monitor)
{
    if (monitor == NULL)
        return;
    loop_timer_free(monitor->sweep);
    loop_watch_free(monitor->watch);
    /* No more events: libzmq's thread would keep them for a reader that is gone. */
    (void)zmq_socket_monitor(monitor->socket, NULL, 0);
    zsock_destroy(&monitor->events);
    free(monitor->peers);
    free(monitor);
}
