/* The sockets of a worker: two connections for each bridge, and the replies that one of them does
 * not take now. */
#include "services/worker/bridge_link.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/worker/link_connection.h"
#include <stdlib.h>
#include <string.h>

/* After a bridge's restart jobs may come a second before replies can go: a whole window of them. */
#define UNSENT_MAX 256

struct bridge {
    struct bridge_link *link;
    struct bridge_endpoints endpoints;
    struct link_connection *jobs, *replies;
    bool connected;  /* both */
    bool within_job; /* the last frame read had more behind it */
    /* Encoded replies that the socket did not take, a ring. */
    zmq_msg_t unsent[UNSENT_MAX];
    size_t unsent_oldest, unsent_count;
};

struct bridge_link {
    struct bridge_link_options options;
    unsigned connected;
    struct metric_counter *connects, *refusals, *malformed_jobs, *dropped_replies;
    unsigned bridge_count;
    struct bridge bridges[ENDPOINT_LIST_MAX];
};

/* ---- connections ---- */

static void on_change(void *arg)
{
    struct bridge *bridge = arg;
    struct bridge_link *link = bridge->link;
    bool connected = link_connection_up(bridge->jobs) && link_connection_up(bridge->replies);
    if (connected == bridge->connected)
        return;
    bridge->connected = connected;
    if (connected) {
        link->connected++;
        metric_add(link->connects, 1);
    } else {
        link->connected--;
    }
    link->options.on_connected(link->options.arg, link->connected);
}

static void on_refused(void *arg, const char *reason)
{
    const struct bridge *bridge = arg;
    struct bridge_link *link = bridge->link;
    metric_add(link->refusals, 1);
    link->options.on_refused(link->options.arg, reason);
}

static void on_jobs_readable(void *arg)
{
    struct bridge *bridge = arg;
    bridge->link->options.on_readable(bridge->link->options.arg);
}

static void forget_oldest(struct bridge *bridge)
{
    (void)zmq_msg_close(&bridge->unsent[bridge->unsent_oldest]);
    bridge->unsent_oldest = (bridge->unsent_oldest + 1) % UNSENT_MAX;
    bridge->unsent_count--;
}

static void on_replies_writable(void *arg)
{
    struct bridge *bridge = arg;
    while (bridge->unsent_count > 0) {
        if (!link_connection_send(bridge->replies, &bridge->unsent[bridge->unsent_oldest]))
            return;
        forget_oldest(bridge);
    }
    link_connection_want(bridge->replies, false);
}

static void make_connections(struct bridge *bridge)
{
    struct link_connection_options options = {
        .loop = bridge->link->options.loop,
        .end = LINK_JOBS_FROM_BRIDGE,
        .key = bridge_endpoint_is_tcp(bridge->endpoints.reply) ? bridge->link->options.key : NULL,
        .endpoint = bridge->endpoints.jobs[bridge->link->options.stage],
        .on_ready = on_jobs_readable,
        .on_change = on_change,
        .on_refused = on_refused,
        .arg = bridge,
    };
    bridge->jobs = link_connection_new(&options);
    options.end = LINK_REPLIES_TO_BRIDGE;
    options.endpoint = bridge->endpoints.reply;
    options.on_ready = on_replies_writable;
    bridge->replies = link_connection_new(&options);
}

struct bridge_link *bridge_link_new(const struct bridge_link_options *options, struct error *err)
{
    struct bridge_link *link = memory_new(sizeof(*link));
    link->options = *options;
    link->connects =
        metric_counter("worker_bridge_connects_total", NULL, "Connections made to bridges.");
    link->refusals = metric_counter("worker_bridge_refusals_total", NULL,
                                    "Connections to bridges whose handshake failed.");
    link->malformed_jobs = metric_counter("worker_bridge_malformed_jobs_total", NULL,
                                          "Jobs dropped because they make no sense.");
    link->dropped_replies = metric_counter("worker_bridge_dropped_replies_total", NULL,
                                           "Replies dropped because their bridge is gone.");
    for (size_t i = 0; i < options->bridges->count; i++)
        if (bridge_endpoints_parse(options->bridges->items[i], &link->bridges[i].endpoints, err)) {
            free(link);
            return NULL;
        }
    for (size_t i = 0; i < options->bridges->count; i++) {
        link->bridges[i].link = link;
        make_connections(&link->bridges[i]);
        link->bridge_count++;
    }
    return link;
}

void bridge_link_connect(struct bridge_link *link)
{
    for (unsigned i = 0; i < link->bridge_count; i++) {
        link_connection_open(link->bridges[i].replies);
        link_connection_open(link->bridges[i].jobs);
    }
}

/* ---- jobs ---- */

void bridge_link_want_jobs(struct bridge_link *link, bool wanted)
{
    for (unsigned i = 0; i < link->bridge_count; i++)
        link_connection_want(link->bridges[i].jobs, wanted);
}

bool bridge_link_read(struct bridge_link *link, unsigned number, struct job *ret_job)
{
    struct bridge *bridge = &link->bridges[number];
    for (;;) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame); /* cannot fail */
        bool read = link_connection_receive(bridge->jobs, &frame);
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

static void keep_unsent(struct bridge *bridge, zmq_msg_t *reply)
{
    if (bridge->unsent_count == UNSENT_MAX) {
        metric_add(bridge->link->dropped_replies, 1);
        forget_oldest(bridge);
    }
    link_connection_want(bridge->replies, true);
    zmq_msg_t *slot =
        &bridge->unsent[(bridge->unsent_oldest + bridge->unsent_count++) % UNSENT_MAX];
    (void)zmq_msg_init(slot);
    (void)zmq_msg_move(slot, reply); /* both are valid */
}

void bridge_link_reply(struct bridge_link *link, unsigned number, const struct job_route *route,
                       const struct reply_item items[], size_t count)
{
    struct bridge *bridge = &link->bridges[number];
    uint8_t buffer[FRAME_MAX_BYTES];
    size_t len = reply_encode(route, items, count, buffer);
    zmq_msg_t reply;
    if (zmq_msg_init_size(&reply, len) != 0)
        abort();
    memcpy(zmq_msg_data(&reply), buffer, len);
    if (bridge->unsent_count > 0 || !link_connection_send(bridge->replies, &reply))
        keep_unsent(bridge, &reply);
    (void)zmq_msg_close(&reply);
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
    for (unsigned i = 0; i < link->bridge_count; i++) {
        struct bridge *bridge = &link->bridges[i];
        while (bridge->unsent_count > 0)
            forget_oldest(bridge);
        link_connection_free(bridge->jobs);
        link_connection_free(bridge->replies);
    }
    free(link);
}
