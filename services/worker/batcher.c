/* When a worker reads jobs, executes batches and answers. It is in one of three states:
 *
 * STEADY: jobs are read while a batch executes, up to two batches in hand, and the next batch is
 * what came meanwhile; so batches grow with the load. A store spends something on each batch,
 * however few orders it has: so batches that are not full begin some milliseconds apart. Orders
 * that come one by one wait for nothing: no batch after one of a single order is put off. When the
 * next batch is full it is written at once, and sent as soon as the store has answered, before the
 * answers are passed on: so a store with a backlog does not wait for its worker. Where two batches
 * at once are quicker (see width.c), each has half as many orders as one would have. After a batch
 * that took long the next one has half as many orders at most, and so has the hand; after a full
 * one that was quick, twice as many. So a slow store is asked for no more than it ends in time, and
 * what waits in hand is executed long before the bridge's deadline. A batch that takes long leaves
 * the hand full; then one job per bridge and step is read beyond that bound, because libzmq drops a
 * link that is not read (see link_socket.c).
 *
 * FAILING, from the first batch of which nothing succeeded because the store is down: all that
 * is in hand is answered "retry". Then a few orders are read each backoff step, which are the probe
 * of the store, or, if the last probe still has no answer, are answered "retry" at once. So a
 * worker that fails fast draws few jobs away from healthy ones, and yet what lies in its sockets'
 * queues is answered long before the bridge's deadline. A batch that succeeds ends it.
 *
 * STOPPING: nothing is read any more. */
#include "services/worker/batcher.h"
#include "services/base/backoff.h"
#include "services/base/memory.h"
#include "services/worker/batch_ring.h"
#include "services/worker/held_orders.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STEADY_STEP_MS 1000
#define FAILING_STEP_BASE_MS 50
#define FAILING_STEP_CAP_MS 500
#define PROBE_ORDERS 100 /* read of each bridge in a failing step, and up to a job more */
#define LONG_BATCH_MS 1000
#define QUICK_BATCH_MS (LONG_BATCH_MS / 2) /* one of twice the size is not long */
#define OVERFULL_JOBS 6 /* of each bridge beyond two batches: a batch takes up to 6 s */

_Static_assert(BATCHES == WIDTH_MAX + 1, "one is written while the others are under way");

enum batcher_state { BATCHER_UNSTARTED, BATCHER_STEADY, BATCHER_FAILING, BATCHER_STOPPING };

struct batcher {
    enum batcher_state state;
    struct batcher_ports ports;
    unsigned bridge_count;
    unsigned next_bridge; /* to read from: they take turns */
    size_t batch_max;
    size_t batch_limit;    /* orders under way at once: 1 to batch_max */
    int64_t spacing_ms;    /* see batcher_new() */
    int64_t small_from_ms; /* a batch that is not full begins no earlier */
    struct width width;
    struct held_orders *held;
    struct batch_ring ring;
    size_t step_room; /* orders that may yet be read in this failing step */
    bool step_probed; /* and whether it has had its probe */
    bool advancing;
    bool jobs_wanted;
    struct backoff backoff;
    struct verdict cause; /* of the last failure of the store */
    struct job job;       /* just read */
};

static size_t hold_max(const struct batcher *batcher)
{
    return 2 * batcher->batch_limit + JOB_MAX_ORDERS;
}

/* The orders of a full batch. */
static size_t full_batch(const struct batcher *batcher)
{
    size_t full = batcher->batch_limit / batcher->width.now;
    return full > 0 ? full : 1;
}

struct batcher *batcher_new(unsigned bridge_count, size_t batch_max, unsigned width_max,
                            int64_t spacing_ms, const struct batcher_ports *ports)
{
    struct batcher *batcher = memory_new(sizeof(*batcher));
    batcher->ports = *ports;
    batcher->bridge_count = bridge_count;
    batcher->batch_max = batch_max;
    batcher->batch_limit = batch_max;
    batcher->spacing_ms = spacing_ms;
    width_init(&batcher->width, width_max);
    batcher->held =
        held_orders_new(hold_max(batcher) + (size_t)OVERFULL_JOBS * JOB_MAX_ORDERS * bridge_count);
    batcher->backoff =
        (struct backoff){.base_ms = FAILING_STEP_BASE_MS, .cap_ms = FAILING_STEP_CAP_MS};
    batch_ring_init(&batcher->ring, batcher, batch_max);
    return batcher;
}

void batcher_free(struct batcher *batcher)
{
    if (!batcher)
        return;
    held_orders_free(batcher->held);
    batch_ring_release(&batcher->ring);
    free(batcher);
}

size_t batcher_orders_held(const struct batcher *batcher)
{
    return batcher->held->count;
}

unsigned batcher_width(const struct batcher *batcher)
{
    return batcher->width.now;
}

/* ---- answering ---- */

static bool same_route(const struct held_order *a, const struct held_order *b)
{
    return a->bridge == b->bridge && a->route.epoch == b->route.epoch &&
           a->route.stage == b->route.stage && a->route.version == b->route.version &&
           memcmp(a->route.incarnation, b->route.incarnation, sizeof(a->route.incarnation)) == 0;
}

/* Answer the orders in hand from place `from` up to `to`, neighbours of one route in one reply.
 * Their verdicts are one after another, `stride` apart (0: all have the same). */
static void answer(struct batcher *batcher, size_t from, size_t to, const struct verdict *verdict,
                   size_t stride)
{
    struct reply_item items[REPLY_MAX_ITEMS];
    size_t count = 0;
    for (size_t place = from; place < to; place++, verdict += stride) {
        const struct held_order *held = held_orders_at(batcher->held, place);
        struct reply_item *item = &items[count++];
        item->delivery_tag = held->delivery_tag;
        item->attempt = held->attempt;
        verdict_copy(&item->verdict, verdict);
        if (place + 1 == to || count == REPLY_MAX_ITEMS ||
            !same_route(held, held_orders_at(batcher->held, place + 1))) {
            batcher->ports.reply(batcher->ports.link, held->bridge, &held->route, items, count);
            count = 0;
        }
    }
}

/* The store is down: all that waits in hand is answered with the reason. */
static void give_back_waiting(struct batcher *batcher)
{
    batch_ring_forget_written(&batcher->ring);
    size_t first = batch_ring_first_waiting(&batcher->ring);
    answer(batcher, first, batcher->held->count, &batcher->cause, 0);
    held_orders_truncate(batcher->held, first);
}

/* ---- reading ---- */

/* Read one job of the bridge into the hand; returns its number of orders. */
static size_t read_job(struct batcher *batcher, unsigned bridge)
{
    if (batcher->held->count + JOB_MAX_ORDERS > batcher->held->capacity ||
        !batcher->ports.read(batcher->ports.link, bridge, &batcher->job))
        return 0;
    for (size_t i = 0; i < batcher->job.count; i++)
        held_orders_append(batcher->held, bridge, &batcher->job.route, &batcher->job.items[i]);
    size_t count = batcher->job.count;
    batcher->step_room -= count < batcher->step_room ? count : batcher->step_room;
    return count;
}

static bool below_bound(const struct batcher *batcher)
{
    return batcher->held->count + JOB_MAX_ORDERS <= hold_max(batcher);
}

static bool may_read(const struct batcher *batcher)
{
    return (batcher->state == BATCHER_STEADY && below_bound(batcher)) ||
           (batcher->state == BATCHER_FAILING && batcher->step_room > 0);
}

/* Read all there is, as far as there is room, the bridges taking turns. */
static void read_in_turns(struct batcher *batcher)
{
    unsigned empty_handed = 0; /* bridges in a row */
    while (empty_handed < batcher->bridge_count && may_read(batcher)) {
        size_t count = read_job(batcher, batcher->next_bridge);
        empty_handed = count > 0 ? 0 : empty_handed + 1;
        batcher->next_bridge = (batcher->next_bridge + 1) % batcher->bridge_count;
    }
}

/* Read at least a job and about `orders` of each bridge, even beyond the bound. */
static void read_a_little(struct batcher *batcher, size_t orders)
{
    for (unsigned bridge = 0; bridge < batcher->bridge_count; bridge++) {
        size_t total = 0, count;
        do {
            count = read_job(batcher, bridge);
            total += count;
        } while (count > 0 && total < orders);
    }
}

/* ---- executing ---- */

static void advance(struct batcher *batcher); /* further below */

static void set_state(struct batcher *batcher, enum batcher_state state)
{
    batcher->state = state;
    switch (state) {
    case BATCHER_UNSTARTED:
    case BATCHER_STOPPING:
        break;
    case BATCHER_STEADY:
        batcher->step_room = 0;
        backoff_reset(&batcher->backoff);
        batcher->ports.step_after(batcher->ports.step, STEADY_STEP_MS);
        break;
    case BATCHER_FAILING:
        batcher->ports.step_after(batcher->ports.step,
                                  backoff_next_ms(&batcher->backoff, batcher->ports.random()));
        break;
    }
}

/* `well`: no order of the batch has to be tried again. */
static void fit_to_the_store(struct batcher *batcher, const struct own_batch *batch, bool well)
{
    int64_t now_ms = batcher->ports.now_ms(), took_ms = now_ms - batch->executing_since_ms;
    size_t full = full_batch(batcher), under_way = batch->count * batcher->width.now;
    bool is_long = took_ms >= LONG_BATCH_MS, busy = batch_ring_written(&batcher->ring) != NULL;
    if (is_long)
        batcher->batch_limit = under_way > 1 ? under_way / 2 : 1;
    else if (took_ms <= QUICK_BATCH_MS && batch->count == full)
        batcher->batch_limit = 2 * batcher->batch_limit < batcher->batch_max
                                   ? 2 * batcher->batch_limit
                                   : batcher->batch_max;
    width_ended(&batcher->width, batch->count,
                is_long || !well ? WIDTH_END_BAD
                : busy           ? WIDTH_END_BUSY
                                 : WIDTH_END_IDLE,
                now_ms);
    if (full_batch(batcher) != full)
        batch_ring_forget_written(&batcher->ring);
}

static struct own_batch *write_next(struct batcher *batcher)
{
    size_t first = batch_ring_first_waiting(&batcher->ring), waiting = batcher->held->count - first;
    size_t full = full_batch(batcher);
    struct own_batch *batch = batch_ring_add(&batcher->ring, waiting < full ? waiting : full);
    for (size_t i = 0; i < batch->count; i++)
        batch->orders[i] = &held_orders_at(batcher->held, first + i)->order;
    batcher->ports.write(batcher->ports.self, batch->number, batch->orders, batch->count,
                         batch->verdicts);
    return batch;
}

static void on_executed(void *arg, bool store_down);

/* Whether the orders that wait may be a batch now, though they do not fill it. If not, the next
 * step comes when they may. */
static bool may_be_small(struct batcher *batcher)
{
    int64_t wait_ms = batcher->small_from_ms - batcher->ports.now_ms();
    if (batcher->state != BATCHER_STEADY || wait_ms <= 0)
        return true;
    batcher->ports.step_after(batcher->ports.step, wait_ms);
    return false;
}

/* Send the next batch when none is under way; write it when it is full, and send it when there may
 * be another one under way. */
static void execute_waiting(struct batcher *batcher)
{
    for (;;) {
        struct own_batch *next = batch_ring_written(&batcher->ring);
        unsigned under_way = batch_ring_executing(&batcher->ring);
        unsigned width = batcher->state == BATCHER_FAILING ? 1 : batcher->width.now;
        size_t waiting = batcher->held->count - batch_ring_first_waiting(&batcher->ring);
        if (next == NULL && !batch_ring_full(&batcher->ring) &&
            (waiting >= full_batch(batcher) ||
             (waiting > 0 && under_way == 0 && may_be_small(batcher))))
            next = write_next(batcher);
        if (next == NULL || under_way >= width)
            return;
        next->phase = BATCH_EXECUTING;
        next->executing_since_ms = batcher->ports.now_ms();
        batcher->small_from_ms =
            next->executing_since_ms + (next->count > 1 ? batcher->spacing_ms : 0);
        batcher->step_probed = true;
        batcher->ports.execute(batcher->ports.self, next->number, on_executed, next);
    }
}

static bool has_retries(const struct own_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->verdicts[i].outcome == OUTCOME_RETRY)
            return true;
    return false;
}

static void judge_store(struct batcher *batcher, const struct own_batch *batch, bool store_down)
{
    if (store_down) { /* the cause is what the store said of the first order that it did not take */
        size_t i = 0;
        while (i < batch->count - 1 && batch->verdicts[i].outcome != OUTCOME_RETRY)
            i++;
        batcher->cause = batch->verdicts[i];
        give_back_waiting(batcher);
        if (batcher->state == BATCHER_STEADY)
            set_state(batcher, BATCHER_FAILING);
    } else if (batcher->state == BATCHER_FAILING) {
        set_state(batcher, BATCHER_STEADY);
    }
}

static void on_executed(void *arg, bool store_down)
{
    struct own_batch *batch = arg;
    struct batcher *batcher = batch->batcher;
    assert(batch->phase == BATCH_EXECUTING);
    batch->phase = BATCH_ENDED;
    fit_to_the_store(batcher, batch, !store_down && !has_retries(batch));
    judge_store(batcher, batch, store_down);
    struct verdict cause = batcher->cause;
    /* First, so that the store need not wait for the rest. */
    if (batch_ring_written(&batcher->ring) != NULL)
        execute_waiting(batcher);

    size_t first = batch_ring_first_of(&batcher->ring, batch);
    batcher->ports.on_batch(batcher->ports.self, batch->number, batcher->held, first, batch->count,
                            batch->verdicts, store_down ? &cause : NULL);
    answer(batcher, first, first + batch->count, batch->verdicts, 1);
    batch->phase = BATCH_ANSWERED;
    held_orders_remove(batcher->held, batch_ring_remove_answered(&batcher->ring));
    advance(batcher);
}

/* Go as far as possible now. A batch that ends inside execute() comes here again: then
 * the outer call goes on. */
static void advance(struct batcher *batcher)
{
    if (batcher->advancing)
        return;
    batcher->advancing = true;
    size_t held;
    do {
        if (batcher->state == BATCHER_STEADY)
            read_in_turns(batcher);
        held = batcher->held->count;
        execute_waiting(batcher);
    } while (batcher->held->count < held);
    batcher->advancing = false;

    bool wanted = may_read(batcher);
    if (wanted != batcher->jobs_wanted) {
        batcher->jobs_wanted = wanted;
        batcher->ports.want_jobs(batcher->ports.link, wanted);
    }
}

/* ---- events ---- */

void batcher_start(struct batcher *batcher)
{
    if (batcher->state == BATCHER_UNSTARTED) {
        set_state(batcher, BATCHER_STEADY);
        advance(batcher);
    }
}

void batcher_jobs_readable(struct batcher *batcher)
{
    if (batcher->state == BATCHER_FAILING) {
        read_in_turns(batcher);
        if (batch_ring_executing(&batcher->ring) > 0 || batcher->step_probed)
            give_back_waiting(batcher);
    }
    advance(batcher);
}

void batcher_step(struct batcher *batcher)
{
    switch (batcher->state) {
    case BATCHER_UNSTARTED:
    case BATCHER_STOPPING:
        return;
    case BATCHER_STEADY:
        if (batch_ring_executing(&batcher->ring) > 0 && !below_bound(batcher))
            read_a_little(batcher, 1);
        break;
    case BATCHER_FAILING:
        batcher->step_room = PROBE_ORDERS;
        batcher->step_probed = false;
        read_a_little(batcher, PROBE_ORDERS);
        if (batch_ring_executing(&batcher->ring) > 0)
            give_back_waiting(batcher);
        break;
    }
    set_state(batcher, batcher->state); /* the next step */
    advance(batcher);
}

void batcher_stop(struct batcher *batcher)
{
    set_state(batcher, BATCHER_STOPPING);
    advance(batcher);
}
