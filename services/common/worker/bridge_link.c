#include "services/common/worker/bridge_link.h"
#include "services/common/memory.h"
#include "services/common/metrics.h"
#include "services/common/worker/link_socket.h"
#include <stdlib.h>
#include <string.h>

#define UNSENT_MAX 64

struct bridge {
    struct bridge_link *link;
    struct bridge_endpoints endpoints;
    zsock_t *jobs, *replies;
    zsock_t *job_events; /* libzmq's monitor of `jobs` */
    bool connected;
    bool within_job; /* the last frame read had more behind it */
    /* Encoded replies that the socket did not take, a ring. */
    zmq_msg_t unsent[UNSENT_MAX];
    size_t unsent_oldest, unsent_count;
};

struct bridge_link {
    zloop_t *loop;
    struct bridge_link_options options;
    bool jobs_wanted;
    unsigned connected;
    struct metric_counter *connects, *malformed_jobs, *dropped_replies;
    unsigned bridge_count;
    struct bridge bridges[ENDPOINT_LIST_MAX];
};

/* ---- connections ---- */

/* zmq_socket_monitor(3): a frame of uint16 event and uint32 value, then a frame with the address.
 */
static int on_job_event(zloop_t *loop, zsock_t *reader, void *arg)
{
    (void)loop;
    struct bridge *bridge = arg;
    struct bridge_link *link = bridge->link;
    zframe_t *event_frame = zframe_recv(reader);
    zframe_t *address = zframe_recv(reader);
    uint16_t event = 0;
    if (event_frame && zframe_size(event_frame) >= sizeof(event))
        memcpy(&event, zframe_data(event_frame), sizeof(event));
    zframe_destroy(&event_frame);
    zframe_destroy(&address);

    bool connected = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    if (connected == bridge->connected)
        return 0;
    bridge->connected = connected;
    if (connected) {
        link->connected++;
        metric_add(link->connects, 1);
    } else {
        link->connected--;
    }
    link->options.on_connected(link->options.arg, link->connected);
    return 0;
}

static void monitor_jobs(struct bridge *bridge, unsigned number)
{
    char address[64];
    (void)snprintf(address, sizeof(address), "inproc://bridge-link-%p-%u", (void *)bridge->link,
                   number); /* it fits */
    if (zmq_socket_monitor(zsock_resolve(bridge->jobs), address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        abort();
    bridge->job_events = zsock_new_pair(address);
    if (!bridge->job_events ||
        zloop_reader(bridge->link->loop, bridge->job_events, on_job_event, bridge) != 0)
        abort();
    zloop_reader_set_tolerant(bridge->link->loop, bridge->job_events);
}

struct bridge_link *bridge_link_new(zloop_t *loop, const struct bridge_link_options *options,
                                    struct error *err)
{
    struct bridge_link *link = memory_new(sizeof(*link));
    link->loop = loop;
    link->options = *options;
    link->connects = metric_counter("worker_bridge_connects_total", NULL,
                                    "Connections made to a bridge's job socket.");
    link->malformed_jobs = metric_counter("worker_bridge_malformed_jobs_total", NULL,
                                          "Job messages dropped because they make no sense.");
    link->dropped_replies = metric_counter("worker_bridge_dropped_replies_total", NULL,
                                           "Reply messages dropped because their bridge is gone.");
    for (size_t i = 0; i < options->bridges->count; i++)
        if (bridge_endpoints_parse(options->bridges->items[i], &link->bridges[i].endpoints, err)) {
            free(link);
            return NULL;
        }
    for (size_t i = 0; i < options->bridges->count; i++) {
        struct bridge *bridge = &link->bridges[link->bridge_count];
        bridge->link = link;
        bridge->jobs = link_socket_new(LINK_JOBS_FROM_BRIDGE);
        bridge->replies = link_socket_new(LINK_REPLIES_TO_BRIDGE);
        monitor_jobs(bridge, link->bridge_count);
        link->bridge_count++;
    }
    return link;
}

void bridge_link_connect(struct bridge_link *link)
{
    for (unsigned i = 0; i < link->bridge_count; i++) {
        struct bridge *bridge = &link->bridges[i];
        const char *jobs = link->options.stage == STAGE_PERSIST ? bridge->endpoints.persist
                                                                : bridge->endpoints.index;
        /* An address of the wrong form has been refused by bridge_link_new(); a name is resolved
         * by libzmq's own thread, again on each attempt. */
        if (zsock_connect(bridge->replies, "%s", bridge->endpoints.reply) != 0 ||
            zsock_connect(bridge->jobs, "%s", jobs) != 0)
            abort();
    }
}

/* ---- jobs ---- */

static int on_jobs_readable(zloop_t *loop, zsock_t *reader, void *arg)
{
    (void)loop;
    (void)reader;
    struct bridge_link *link = arg;
    link->options.on_readable(link->options.arg);
    return 0;
}

void bridge_link_want_jobs(struct bridge_link *link, bool wanted)
{
    if (wanted == link->jobs_wanted)
        return;
    link->jobs_wanted = wanted;
    for (unsigned i = 0; i < link->bridge_count; i++) {
        zsock_t *jobs = link->bridges[i].jobs;
        if (!wanted) {
            zloop_reader_end(link->loop, jobs);
            continue;
        }
        if (zloop_reader(link->loop, jobs, on_jobs_readable, link) != 0)
            abort();
        zloop_reader_set_tolerant(link->loop, jobs);
    }
}

bool bridge_link_read(struct bridge_link *link, unsigned number, struct job_message *ret_job)
{
    struct bridge *bridge = &link->bridges[number];
    for (;;) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame); /* cannot fail */
        bool read = zmq_msg_recv(&frame, zsock_resolve(bridge->jobs), ZMQ_DONTWAIT) >= 0;
        bool more = read && zmq_msg_more(&frame);
        bool good = read && !more && !bridge->within_job &&
                    job_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &ret_job->route,
                               ret_job->items, ret_job->orders, &ret_job->count, NULL) == 0 &&
                    ret_job->route.stage == link->options.stage;
        (void)zmq_msg_close(&frame);
        if (good || !read)
            return good;
        bridge->within_job = more;
        if (!more)
            metric_add(link->malformed_jobs, 1);
    }
}

/* ---- replies ---- */

static void forget_oldest(struct bridge *bridge)
{
    (void)zmq_msg_close(&bridge->unsent[bridge->unsent_oldest]);
    bridge->unsent_oldest = (bridge->unsent_oldest + 1) % UNSENT_MAX;
    bridge->unsent_count--;
}

static int on_replies_writable(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    struct bridge *bridge = arg;
    while (bridge->unsent_count > 0) {
        zmq_msg_t *oldest = &bridge->unsent[bridge->unsent_oldest];
        if (zmq_msg_send(oldest, item->socket, ZMQ_DONTWAIT) < 0)
            return 0;
        forget_oldest(bridge);
    }
    zloop_poller_end(loop, item);
    return 0;
}

static zmq_pollitem_t replies_item(const struct bridge *bridge)
{
    return (zmq_pollitem_t){.socket = zsock_resolve(bridge->replies), .events = ZMQ_POLLOUT};
}

static void keep_unsent(struct bridge *bridge, zmq_msg_t *message)
{
    if (bridge->unsent_count == UNSENT_MAX) {
        metric_add(bridge->link->dropped_replies, 1);
        forget_oldest(bridge);
    }
    if (bridge->unsent_count == 0) {
        zmq_pollitem_t item = replies_item(bridge);
        if (zloop_poller(bridge->link->loop, &item, on_replies_writable, bridge) != 0)
            abort();
        zloop_poller_set_tolerant(bridge->link->loop, &item);
    }
    zmq_msg_t *slot =
        &bridge->unsent[(bridge->unsent_oldest + bridge->unsent_count++) % UNSENT_MAX];
    (void)zmq_msg_init(slot);
    (void)zmq_msg_move(slot, message); /* both are valid */
}

void bridge_link_reply(struct bridge_link *link, unsigned number, const struct job_route *route,
                       const struct reply_item items[], size_t count)
{
    struct bridge *bridge = &link->bridges[number];
    uint8_t buffer[MESSAGE_MAX_BYTES];
    size_t len = reply_encode(route, items, count, buffer);
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, len) != 0)
        abort();
    memcpy(zmq_msg_data(&message), buffer, len);
    if (bridge->unsent_count > 0 ||
        zmq_msg_send(&message, zsock_resolve(bridge->replies), ZMQ_DONTWAIT) < 0)
        keep_unsent(bridge, &message);
    (void)zmq_msg_close(&message);
}

size_t bridge_link_unsent(const struct bridge_link *link)
{
    size_t total = 0;
    for (unsigned i = 0; i < link->bridge_count; i++)
        total += link->bridges[i].unsent_count;
    return total;
}

void bridge_link_free(struct bridge_link *link)
{
    if (!link)
        return;
    bridge_link_want_jobs(link, false);
    for (unsigned i = 0; i < link->bridge_count; i++) {
        struct bridge *bridge = &link->bridges[i];
        if (bridge->unsent_count > 0) {
            zmq_pollitem_t item = replies_item(bridge);
            zloop_poller_end(link->loop, &item);
        }
        while (bridge->unsent_count > 0)
            forget_oldest(bridge);
        zloop_reader_end(link->loop, bridge->job_events);
        zsock_destroy(&bridge->jobs);
        zsock_destroy(&bridge->replies);
        zsock_destroy(&bridge->job_events);
    }
    free(link);
}
