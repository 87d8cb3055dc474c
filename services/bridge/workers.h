/* The ZeroMQ side: jobs go out to the workers of each stage, replies come in. On the loop's thread;
 * never blocks. Metrics: bridge_malformed_replies_total. */
#ifndef BRIDGE_WORKERS_H
#define BRIDGE_WORKERS_H

#include "proto/job.h"
#include "proto/reply.h"
#include "services/loop/event_loop.h"

struct workers_options {
    const char *bind; /* BRIDGE_BIND, for bridge_endpoints_parse() */
    /* A reply message, decoded strictly. */
    void (*on_reply)(void *arg, const struct job_route *route, const struct reply_item *items,
                     size_t count);
    void (*on_writable)(void *arg, enum stage stage); /* after workers_await_writable() */
    void (*on_turn)(void *arg); /* a batch of the above has been handed over */
    void *arg;
};

struct workers;

/* Bind the sockets. Returns NULL with `err` set when that is not possible. */
struct workers *workers_new(struct event_loop *loop, const struct workers_options *options,
                            struct error *err) __attribute__((warn_unused_result));
void workers_free(struct workers *workers);

/* Send a job to some worker of route->stage. Returns 0, or -1 when none takes it now. */
int workers_push(struct workers *workers, const struct job_route *route,
                 const struct job_item *items, size_t count) __attribute__((warn_unused_result));

/* Call on_writable() when a worker of the stage takes jobs again, once. */
void workers_await_writable(struct workers *workers, enum stage stage);

/* Whether some worker of the stage takes a job now. */
bool workers_writable(const struct workers *workers, enum stage stage);

#endif
