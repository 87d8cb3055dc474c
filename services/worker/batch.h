/* One batch of orders on its way into a store, part by part: a store that refuses a part as a whole
 * has it cut and gets the pieces. No clock of its own. */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "proto/order.h"
#include "proto/verdict.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_MAX 2000 /* orders in the largest batch */
#define BATCHES 3      /* of a worker at once: two are under way, the next one is written */

struct batch;

/* Where the orders of a stage go. */
struct batch_store {
    void *self;
    /* Write the orders of batch->part as they are sent, over what was written for another part of
     * batch number batch->number. May batch_shorten(). Never blocks. */
    void (*write_part)(void *self, struct batch *batch);
    /* Try to store batch->part, as it was written, within `timeout_ms`. Never blocks. Returns 0
     * when the answer comes later: the store then judges the part, and calls batch_go_on(). Returns
     * -1 when the part is judged already. */
    int (*try_part)(void *self, struct batch *batch, int64_t timeout_ms);
    /* Whether the store looked usable at its own last look, which needs no order. Never blocks. */
    bool (*looks_usable)(void *self);
    int64_t limit_ms;        /* no part of a batch is tried later than this after its begin */
    const char *unavailable; /* the code for orders that there was no time for */
};

/* Every order has its verdict. `store_down`: the store can take no order now;
 * false when only single orders failed. */
typedef void batch_done_fn(void *arg, bool store_down);

/* Orders first … first + count − 1 of the batch. */
struct part {
    size_t first, count;
};

/* A plain value: batch_write() sets it, nothing to free. */
struct batch {
    /* For the store, which judges the part: by the verdicts of its orders, or by the calls below */
    unsigned number; /* below BATCHES; no two batches at once have the same */
    const struct order *const *orders;
    struct verdict *verdicts;
    size_t count;
    struct part part;  /* being tried */
    bool store_works;  /* to be set when the store has taken or rejected an order */
    unsigned failures; /* for the store's own count */
    /* private */
    const struct batch_store *store;
    bool store_down;
    int64_t deadline_ms;
    struct verdict last_failure;
    batch_done_fn *on_done;
    void *arg;
    /* The parts still to be tried: a ring, so that parts of one size come before smaller ones. Each
     * part has orders of its own, so there are never more parts than orders. */
    struct part parts[BATCH_MAX];
    size_t next_part, part_count;
};

/* Write the first part of a batch of `count` orders (1..BATCH_MAX), so that batch_begin() has only
 * to send it. Orders and verdicts stay the caller's. The batch may be written anew, or left,
 * without having begun. The store must outlive the batch. */
void batch_write(struct batch *batch, unsigned number, const struct batch_store *store,
                 const struct order *const orders[], size_t count, struct verdict verdicts[]);

/* Try all orders of the batch that was written, and write the verdict of orders[i] to verdicts[i].
 * Both stay where they are until `on_done`, which comes once, also from inside this call. */
void batch_begin(struct batch *batch, batch_done_fn *on_done, void *arg, int64_t now_ms);

/* The part is judged: try the next ones, or end the batch. */
void batch_go_on(struct batch *batch, int64_t now_ms);

/* Only the first `count` orders of the part are being tried; the others come next. */
void batch_shorten(struct batch *batch, size_t count);

/* How the store judges a part that failed as a whole. First say why: what is not tried any more is
 * answered with the last such failure. Then cut the part into pieces (fewer if it has fewer
 * orders), have it retried later, or give the whole batch up, because the store is down. */
void batch_failed(struct batch *batch, const char *code, const char *detail);
void batch_cut(struct batch *batch, size_t pieces);
void batch_retry_later(struct batch *batch);
void batch_give_up(struct batch *batch);

/* Whether the store has taken nothing of the batch so far, or was given up. */
bool batch_store_down(const struct batch *batch);

#endif
