/* A worker's sockets: for each bridge one PULL for jobs and one PUSH for replies, so that an answer
 * goes to the bridge that asked. Never blocks. Metrics: worker_bridge_*. */
#ifndef WORKER_BRIDGE_LINK_H
#define WORKER_BRIDGE_LINK_H

#include "services/base/endpoint.h"
#include "services/loop/event_loop.h"
#include "services/worker/batcher.h"
#include "services/worker/link_key.h"
#include <czmq.h>

struct bridge_link;

struct bridge_link_options {
    struct event_loop *loop;
    const struct endpoint_list *bridges; /* BRIDGE_ENDPOINTS; each has several sockets */
    const struct link_key *key;          /* NULL: none; stays the caller's. For tcp:// only */
    enum stage stage;                    /* whose jobs are taken; other jobs are dropped */
    void (*on_readable)(void *arg);      /* there are jobs to read */
    /* The number of bridges connected to, for jobs and for replies, has changed. */
    void (*on_connected)(void *arg, unsigned connected);
    /* A bridge is none of ours, or holds this worker for none. */
    void (*on_refused)(void *arg, const char *reason);
    void *arg;
};

/* Makes the sockets, connects nothing yet. Returns NULL with `err` set when an endpoint is not
 * one. */
struct bridge_link *bridge_link_new(const struct bridge_link_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* Replies on the way are still sent, for up to a second, by the time that the process exits. */
void bridge_link_free(struct bridge_link *link);

/* Connect to all bridges, and again by itself after each loss. */
void bridge_link_connect(struct bridge_link *link);

/* Read one job of bridge number `bridge`; false when there is none now. What has several frames,
 * does not decode strictly or is of another stage is dropped and counted. */
bool bridge_link_read(struct bridge_link *link, unsigned bridge, struct job *ret_job);

/* Whether on_readable() is wanted (at first it is not). */
void bridge_link_want_jobs(struct bridge_link *link, bool wanted);

/* Send one reply, or keep it until the socket takes it. When too many are kept, the oldest
 * is dropped and counted: its bridge is gone or stopped, and delivers the orders again. */
void bridge_link_reply(struct bridge_link *link, unsigned bridge, const struct job_route *route,
                       const struct reply_item items[], size_t count);

/* Replies kept because their bridge does not take them. */
size_t bridge_link_unsent(const struct bridge_link *link);

#endif
