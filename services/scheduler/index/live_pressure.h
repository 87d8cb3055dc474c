/* How much of the live traffic waits, and how much a job that writes to the index has to hold back
 * for it: live orders go first. The depth of the order queues says it. A job that copies has no
 * other sign: while the pipeline keeps up, the queues are all but empty, whatever the machine does
 * besides. */
#ifndef SCHEDULER_INDEX_LIVE_PRESSURE_H
#define SCHEDULER_INDEX_LIVE_PRESSURE_H

#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the rule: pure ---- */

/* How the queues stand, by the last two looks. */
struct queue_depth {
    bool known;
    int64_t messages;   /* that wait for a bridge */
    int64_t per_second; /* by how much it grows; below 0: it shrinks */
};

#define LIVE_PRESSURE_FREE 1000        /* so many messages hold nobody back */
#define LIVE_PRESSURE_SLOWEST_ROWS 200 /* a second: nothing stops a job */

/* How long to pause after a _bulk request of `rows` rows that took `took_ms`. None while the queue
 * is short. Then so many times as long as the request took as the queue is longer than
 * LIVE_PRESSURE_FREE now, or will be in 10 s. Depth unknown: as long as the request took. */
int64_t live_pressure_pause_ms(const struct queue_depth *depth, size_t rows, int64_t took_ms);

/* ---- the look at the queues, each 2 s, over connections of its own ---- */

struct live_pressure;

struct live_pressure_options {
    struct broker_options broker; /* its strings outlive it */
    const char *queues;           /* with commas between, as archive_queues_validate() wants them */
    enum queue_type queue_type;
};

struct live_pressure *live_pressure_new(struct event_loop *loop,
                                        const struct live_pressure_options *options);
void live_pressure_free(struct live_pressure *pressure); /* NULL is legal */

/* It will be asked for until live_pressure_end(): who writes to the index says so. Only then is a
 * connection that is lost made again, the first one too: a process has others that come first. */
void live_pressure_begin(struct live_pressure *pressure);
void live_pressure_end(struct live_pressure *pressure);

/* Of all queues together; known when that of each is. */
struct queue_depth live_pressure_depth(const struct live_pressure *pressure);

#endif
