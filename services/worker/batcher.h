/* How orders pass through a worker: when to read jobs, when to execute them, what to answer while
 * the backend fails. No sockets, no clock, no randomness of its own: they come in as ports, so that
 * all of it is tested with fakes. */
#ifndef WORKER_BATCHER_H
#define WORKER_BATCHER_H

#include "services/worker/backend.h"

/* One job message, decoded. */
struct job_message {
    struct job_route route;
    size_t count;
    struct job_item items[JOB_MAX_ORDERS];
    struct order orders[JOB_MAX_ORDERS];
};

/* What the batcher needs of the outside. None of them blocks or calls back into the batcher. */
struct worker_ports {
    void *self;
    /* Read the next job message of one bridge; false when there is none now. */
    bool (*read)(void *self, unsigned bridge, struct job_message *ret_job);
    /* From now on call batcher_jobs_readable() when a bridge has one, or no longer. */
    void (*want_jobs)(void *self, bool wanted);
    /* Answer up to REPLY_MAX_ITEMS orders of one route. */
    void (*reply)(void *self, unsigned bridge, const struct job_route *route,
                  const struct reply_item items[], size_t count);
    /* Call batcher_step() once, after this delay; a delay set before is forgotten. */
    void (*step_after)(void *self, int64_t delay_ms);
    /* A batch has been executed: for logs and metrics. */
    void (*on_batch)(void *self, const struct order *const orders[], size_t count,
                     const struct verdict verdicts[], bool backend_down);
    uint32_t (*random)(void *self);
};

struct batcher;

/* A worker of `bridge_count` bridges whose batches have up to `batch_max` orders. Both interfaces
 * are copied. Reads nothing before batcher_start(). */
struct batcher *batcher_new(unsigned bridge_count, size_t batch_max,
                            const struct worker_ports *ports, const struct worker_backend *backend);
void batcher_free(struct batcher *batcher); /* no batch may be executing */

/* Start reading; again, it does nothing. */
void batcher_start(struct batcher *batcher);

void batcher_jobs_readable(struct batcher *batcher);
void batcher_step(struct batcher *batcher);

/* Read no more; what has been read is still executed and answered. */
void batcher_stop(struct batcher *batcher);

size_t batcher_orders_held(const struct batcher *batcher);

#endif
