/* The ZeroMQ side: jobs go out to the workers of each stage, replies come in. On the loop's thread;
 * never blocks. Metrics: bridge_malformed_replies_total, bridge_refused_connections_total. */
#ifndef BRIDGE_WORKERS_H
#define BRIDGE_WORKERS_H

#include "services/bridge/flow.h"
#include "services/loop/event_loop.h"
#include "services/worker/link_key.h"

struct workers_options {
    const char *bind;           /* BRIDGE_BIND, for bridge_endpoints_parse() */
    const struct link_key *key; /* NULL: none; stays the caller's. For tcp:// only */
    struct flow *flow; /* told of replies, decoded strictly, and of workers that take jobs again */
    void (*on_turn)(void *arg); /* a batch of such news has been handed over */
    void *arg;
};

struct workers;

/* Bind the sockets. Returns NULL with `err` set when that is not possible. */
struct workers *workers_new(struct event_loop *loop, const struct workers_options *options,
                            struct error *err) __attribute__((warn_unused_result));
void workers_free(struct workers *workers);

/* As flow_ports.push. */
int workers_push(struct workers *workers, const struct job_route *route,
                 const struct job_item *items, size_t count) __attribute__((warn_unused_result));

/* Whether some worker of the stage takes a job now. */
bool workers_writable(const struct workers *workers, enum stage stage);

#endif
