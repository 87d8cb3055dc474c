/* The bound sockets of the bridge: a PUSH of jobs for each stage, and one PULL of replies. libzmq
 * removes a socket file that is in its way, even that of a bridge which runs, so a lock file stands
 * beside those. */
#include "services/bridge/workers.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/bridge/gate.h"
#include "services/bridge/listener.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define REPLIES_PER_WAKE 64 /* then the rest of the loop has its turn */

struct job_line {
    struct workers *workers;
    enum stage stage;
    struct listener *listener;
    struct loop_watch *watch; /* for writability, while it is awaited */
};

struct workers {
    struct workers_options options;
    int lock_fd; /* -1: no lock file */
    struct gate *gate;
    struct job_line lines[STAGES];
    struct listener *replies;
    struct loop_watch *replies_watch;
    bool within_reply; /* the last frame read had more behind it */
    struct metric_counter *malformed;
    uint8_t buffer[FRAME_MAX_BYTES];
};

/* Jobs */

static void on_writable(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct job_line *line = arg;
    const struct workers_options *options = &line->workers->options;
    loop_watch_want(line->watch, false, false);
    flow_writable(options->flow, line->stage);
    options->on_turn(options->arg);
}

bool workers_writable(const struct workers *workers, enum stage stage)
{
    return (zsock_events(listener_socket(workers->lines[stage].listener)) & ZMQ_POLLOUT) != 0;
}

int workers_push(struct workers *workers, const struct job_route *route,
                 const struct job_item *items, size_t count)
{
    struct job_line *line = &workers->lines[route->stage];
    size_t len = job_encode(route, items, count, workers->buffer);
    if (zmq_send(zsock_resolve(listener_socket(line->listener)), workers->buffer, len,
                 ZMQ_DONTWAIT) == (int)len)
        return 0;
    loop_watch_want(line->watch, false, true);
    return -1;
}

/* Replies */

/* One frame; false when there is none now. */
static bool read_frame(struct workers *workers)
{
    zmq_msg_t frame;
    (void)zmq_msg_init(&frame); /* cannot fail */
    if (!listener_receive(workers->replies, &frame))
        return false; /* it holds nothing then */

    struct job_route route;
    struct reply_item items[REPLY_MAX_ITEMS];
    size_t count;
    bool more = zmq_msg_more(&frame) != 0;
    if (!more && !workers->within_reply &&
        reply_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &route, items, &count, NULL) == 0)
        flow_reply(workers->options.flow, &route, items, count, clock_monotonic_ms());
    else if (!more)
        metric_add(workers->malformed, 1);
    workers->within_reply = more;
    (void)zmq_msg_close(&frame);
    return true;
}

static void on_readable(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct workers *workers = arg;
    for (unsigned i = 0; i < REPLIES_PER_WAKE && read_frame(workers); i++)
        continue;
    workers->options.on_turn(workers->options.arg);
}

/* Life */

/* Take the lock file of ipc:// endpoints, which stays: removing it would be a race. */
static int lock(struct workers *workers, struct error *err)
{
    const char *bind = workers->options.bind;
    char path[ENDPOINT_SIZE];
    workers->lock_fd = -1;
    if (bridge_endpoint_is_tcp(bind))
        return 0;
    (void)snprintf(path, sizeof path, "%s.lock", bind + strlen("ipc://")); /* it fits */
    workers->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (workers->lock_fd >= 0 && flock(workers->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    error_set(err, "BRIDGE_BIND: cannot lock %s: %s", path,
              errno == EWOULDBLOCK ? "another bridge has it" : strerror(errno));
    return -1;
}

static int open_listener(struct listener *listener, struct error *err)
{
    struct error reason;
    if (listener_open(listener, &reason) == 0)
        return 0;
    error_set(err, "BRIDGE_BIND: %s", reason.message);
    return -1;
}

static int open_sockets(struct workers *workers, struct event_loop *loop,
                        const struct bridge_endpoints *endpoints, struct error *err)
{
    workers->gate = gate_new(loop, workers->options.key, err);
    if (workers->gate == NULL)
        return -1;
    workers->replies =
        listener_new(loop, workers->gate, LINK_REPLIES_FROM_WORKERS, endpoints->reply);
    if (open_listener(workers->replies, err) != 0)
        return -1;
    workers->replies_watch =
        event_loop_watch_zmq(loop, listener_socket(workers->replies), on_readable, workers);
    loop_watch_want(workers->replies_watch, true, false);
    for (enum stage stage = 0; stage < STAGES; stage++) {
        struct job_line *line = &workers->lines[stage];
        line->workers = workers;
        line->stage = stage;
        line->listener =
            listener_new(loop, workers->gate, LINK_JOBS_TO_WORKERS, endpoints->jobs[stage]);
        line->watch =
            event_loop_watch_zmq(loop, listener_socket(line->listener), on_writable, line);
        if (open_listener(line->listener, err) != 0)
            return -1;
    }
    return 0;
}

struct workers *workers_new(struct event_loop *loop, const struct workers_options *options,
                            struct error *err)
{
    struct bridge_endpoints endpoints;
    if (bridge_endpoints_parse(options->bind, &endpoints, err) != 0)
        return NULL;
    struct workers *workers = memory_new(sizeof *workers);
    workers->options = *options;
    workers->malformed = metric_counter("bridge_malformed_replies_total", NULL,
                                        "Frames on the reply socket that make no sense.");
    if (lock(workers, err) == 0 && open_sockets(workers, loop, &endpoints, err) == 0)
        return workers;
    workers_free(workers);
    return NULL;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    loop_watch_free(workers->replies_watch);
    listener_free(workers->replies);
    for (size_t i = 0; i < STAGES; i++) {
        loop_watch_free(workers->lines[i].watch);
        listener_free(workers->lines[i].listener);
    }
    gate_free(workers->gate);
    if (workers->lock_fd >= 0)
        (void)close(workers->lock_fd);
    free(workers);
}
