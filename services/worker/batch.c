/* A batch of a worker: which part of it is tried next, and what is not tried any more. */
#include "services/worker/batch.h"
#include <assert.h>

static void add_part(struct batch *batch, size_t first, size_t count)
{
    assert(batch->part_count < BATCH_MAX);
    size_t place = (batch->next_part + batch->part_count++) % BATCH_MAX;
    batch->parts[place] = (struct part){first, count};
}

static bool take_part(struct batch *batch)
{
    if (batch->part_count == 0)
        return false;
    batch->part = batch->parts[batch->next_part];
    batch->next_part = (batch->next_part + 1) % BATCH_MAX;
    batch->part_count--;
    return true;
}

void batch_write(struct batch *batch, unsigned number, const struct batch_store *store,
                 const struct order *const orders[], size_t count, struct verdict verdicts[])
{
    assert(count >= 1 && count <= BATCH_MAX);
    batch->number = number;
    batch->orders = orders;
    batch->verdicts = verdicts;
    batch->count = count;
    batch->store_works = batch->store_down = false;
    batch->failures = 0;
    batch->store = store;
    batch->next_part = batch->part_count = 0;
    batch->part = (struct part){0, count};
    batch_failed(batch, store->unavailable, "no time left");
    store->write_part(store->self, batch);
}

void batch_begin(struct batch *batch, batch_done_fn *on_done, void *arg, int64_t now_ms)
{
    const struct batch_store *store = batch->store;
    batch->on_done = on_done;
    batch->arg = arg;
    batch->deadline_ms = now_ms + store->limit_ms;
    if (store->try_part(store->self, batch, store->limit_ms) != 0)
        batch_go_on(batch, now_ms);
}

void batch_go_on(struct batch *batch, int64_t now_ms)
{
    int64_t left_ms = batch->deadline_ms - now_ms;
    const struct batch_store *store = batch->store;
    while (take_part(batch)) {
        if (batch->store_down || left_ms <= 0) {
            batch_retry_later(batch);
            continue;
        }
        store->write_part(store->self, batch);
        if (store->try_part(store->self, batch, left_ms) == 0)
            return;
    }
    batch->on_done(batch->arg, batch_store_down(batch));
}

void batch_shorten(struct batch *batch, size_t count)
{
    if (count == batch->part.count)
        return;
    add_part(batch, batch->part.first + count, batch->part.count - count);
    batch->part.count = count;
}

void batch_failed(struct batch *batch, const char *code, const char *detail)
{
    verdict_fail(&batch->last_failure, OUTCOME_RETRY, code, detail);
}

void batch_cut(struct batch *batch, size_t pieces)
{
    const struct part *part = &batch->part;
    size_t piece = (part->count + pieces - 1) / pieces;
    for (size_t offset = 0; offset < part->count; offset += piece) {
        size_t rest = part->count - offset;
        add_part(batch, part->first + offset, rest < piece ? rest : piece);
    }
}

void batch_retry_later(struct batch *batch)
{
    for (size_t i = 0; i < batch->part.count; i++)
        batch->verdicts[batch->part.first + i] = batch->last_failure;
}

void batch_give_up(struct batch *batch)
{
    batch->store_down = true;
    batch_retry_later(batch);
}

bool batch_store_down(const struct batch *batch)
{
    return batch->store_down || !batch->store_works;
}
