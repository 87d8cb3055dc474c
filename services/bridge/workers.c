/* The bound sockets of the bridge: a PUSH of jobs for each stage, and one PULL of replies. */
#include "services/bridge/workers.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/worker/link_socket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLIES_PER_WAKE 64 /* then the rest of the loop has its turn */

struct job_line {
    struct workers *workers;
    enum stage stage;
    zsock_t *socket;
    struct loop_watch *watch; /* for writability, while it is awaited */
};

struct workers {
    struct workers_options options;
    struct job_line lines[STAGES];
    zsock_t *replies;
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
    return (zsock_events(workers->lines[stage].socket) & ZMQ_POLLOUT) != 0;
}

int workers_push(struct workers *workers, const struct job_route *route,
                 const struct job_item *items, size_t count)
{
    struct job_line *line = &workers->lines[route->stage];
    size_t len = job_encode(route, items, count, workers->buffer);
    if (zmq_send(zsock_resolve(line->socket), workers->buffer, len, ZMQ_DONTWAIT) == (int)len)
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
    if (zmq_msg_recv(&frame, zsock_resolve(workers->replies), ZMQ_DONTWAIT) < 0)
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

static int bind_socket(zsock_t *socket, const char *endpoint, struct error *err)
{
    /* Each peer is trusted, so a socket file is for its owner alone. */
    mode_t before = umask(0077);
    int bound = link_socket_bind(socket, endpoint);
    int failure = errno;
    (void)umask(before);
    if (bound >= 0)
        return 0;
    error_set(err, "BRIDGE_BIND: cannot bind %s: %s", endpoint, zmq_strerror(failure));
    return -1;
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
    workers->replies = link_socket_new(LINK_REPLIES_FROM_WORKERS);
    int bound = bind_socket(workers->replies, endpoints.reply, err);
    for (enum stage stage = 0; stage < STAGES; stage++) {
        struct job_line *line = &workers->lines[stage];
        line->workers = workers;
        line->stage = stage;
        line->socket = link_socket_new(LINK_JOBS_TO_WORKERS);
        line->watch = event_loop_watch_zmq(loop, line->socket, on_writable, line);
        if (bound == 0)
            bound = bind_socket(line->socket, endpoints.jobs[stage], err);
    }
    if (bound != 0) {
        workers_free(workers);
        return NULL;
    }
    workers->replies_watch = event_loop_watch_zmq(loop, workers->replies, on_readable, workers);
    loop_watch_want(workers->replies_watch, true, false);
    return workers;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    loop_watch_free(workers->replies_watch);
    zsock_destroy(&workers->replies);
    for (size_t i = 0; i < STAGES; i++) {
        loop_watch_free(workers->lines[i].watch);
        zsock_destroy(&workers->lines[i].socket);
    }
    free(workers);
}
