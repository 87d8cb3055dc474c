/* How orders pass through a worker: when to read jobs, when to execute them, what to answer while
 * the store fails. No sockets, no clock, no randomness of its own: they come in as ports, so that
 * all of it is tested with fakes. */
#ifndef WORKER_BATCHER_H
#define WORKER_BATCHER_H

#include "proto/reply.h"
#include "services/worker/batch.h"
#include "services/worker/width.h"

/* One job, decoded. */
struct job {
    struct job_route route;
    size_t count;
    struct job_item items[JOB_MAX_ORDERS];
    struct order orders[JOB_MAX_ORDERS];
};

struct bridge_link;
struct held_orders;
struct loop_timer;

/* What the batcher needs of the outside. No port blocks, and none but `execute` calls back into the
 * batcher. */
struct batcher_ports {
    struct bridge_link *link;
    /* Read the next job of one bridge; false when there is none now. */
    bool (*read)(struct bridge_link *link, unsigned bridge, struct job *ret_job);
    /* While `wanted`, the owner calls batcher_jobs_readable() whenever a bridge has a job to read.
     */
    void (*want_jobs)(struct bridge_link *link, bool wanted);
    /* Answer up to REPLY_MAX_ITEMS orders of one route. */
    void (*reply)(struct bridge_link *link, unsigned bridge, const struct job_route *route,
                  const struct reply_item items[], size_t count);

    struct loop_timer *step;
    /* Call batcher_step() once, after this delay; a delay set before is forgotten. */
    void (*step_after)(struct loop_timer *step, int64_t delay_ms);

    void *self;
    /* Write batch `number` (below BATCHES), as batch_write(). */
    void (*write)(void *self, unsigned number, const struct order *const orders[], size_t count,
                  struct verdict verdicts[]);
    /* Execute the batch that was written, as batch_begin(); `on_done` comes within 6 s. */
    void (*execute)(void *self, unsigned number, batch_done_fn *on_done, void *arg);
    /* For logs and metrics: a batch has been executed, `count` orders in hand from place `first`.
     * `cause` is why the store is down, or NULL. */
    void (*on_batch)(void *self, unsigned number, const struct held_orders *held, size_t first,
                     size_t count, const struct verdict verdicts[], const struct verdict *cause);
    uint32_t (*random)(void);
    int64_t (*now_ms)(void); /* monotonic */
};

struct batcher;

/* A worker of `bridge_count` bridges that executes up to `batch_max` orders at a time, in one batch
 * or, if `width_max` is 2 and the store is quicker so, in two. A batch that is not full begins
 * `spacing_ms` after the one before at the earliest, unless that was a single order. The ports are
 * copied. Reads nothing before batcher_start(). */
struct batcher *batcher_new(unsigned bridge_count, size_t batch_max, unsigned width_max,
                            int64_t spacing_ms, const struct batcher_ports *ports);
void batcher_free(struct batcher *batcher); /* no batch may be executing */

/* Start reading; again, it does nothing. */
void batcher_start(struct batcher *batcher);

void batcher_jobs_readable(struct batcher *batcher);
void batcher_step(struct batcher *batcher);

/* Read no more; what has been read is still executed and answered. */
void batcher_stop(struct batcher *batcher);

size_t batcher_orders_held(const struct batcher *batcher);

/* How many batches are under way at once while there is a backlog. */
unsigned batcher_width(const struct batcher *batcher);

#endif
