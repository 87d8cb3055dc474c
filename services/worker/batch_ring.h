/* The batches of a worker that are written, under way or not yet passed on, the oldest first. Their
 * orders are the oldest ones in hand, in the same order; those behind them wait for a batch. */
#ifndef WORKER_BATCH_RING_H
#define WORKER_BATCH_RING_H

#include "services/worker/batch.h"

struct batcher;

struct own_batch {
    struct batcher *batcher; /* whose it is */
    unsigned number;         /* below BATCHES */
    enum { BATCH_WRITTEN, BATCH_EXECUTING, BATCH_ENDED, BATCH_ANSWERED } phase;
    size_t count;
    int64_t executing_since_ms;
    const struct order **orders;
    struct verdict *verdicts;
};

/* A plain value: batch_ring_init() sets it. */
struct batch_ring {
    struct own_batch batches[BATCHES];
    unsigned oldest, count;
};

void batch_ring_init(struct batch_ring *ring, struct batcher *batcher, size_t batch_max);
void batch_ring_release(struct batch_ring *ring);

bool batch_ring_full(const struct batch_ring *ring);

/* The places in hand of a batch's first order, and of the first order that waits for a batch. */
size_t batch_ring_first_of(const struct batch_ring *ring, const struct own_batch *batch);
size_t batch_ring_first_waiting(const struct batch_ring *ring);

unsigned batch_ring_executing(const struct batch_ring *ring); /* how many are */

/* The batch that is written and not sent, or NULL. It is the youngest. */
struct own_batch *batch_ring_written(struct batch_ring *ring);

/* Add a batch of the `count` orders that wait first; the caller writes it. There must be room. */
struct own_batch *batch_ring_add(struct batch_ring *ring, size_t count);

/* The orders of the batch that is not sent wait again. */
void batch_ring_forget_written(struct batch_ring *ring);

/* Remove the oldest batches that are answered, and return how many orders they had. A batch that
 * ends before an older one keeps its place until then. */
size_t batch_ring_remove_answered(struct batch_ring *ring);

#endif
