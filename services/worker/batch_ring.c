/* The slots of a batch's number are used in turn, so the youngest follows the oldest. */
#include "services/worker/batch_ring.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>

void batch_ring_init(struct batch_ring *ring, struct batcher *batcher, size_t batch_max)
{
    *ring = (struct batch_ring){.oldest = 0};
    for (unsigned i = 0; i < BATCHES; i++)
        ring->batches[i] = (struct own_batch){
            .batcher = batcher,
            .number = i,
            .orders = memory_new_array(batch_max, sizeof(const struct order *)),
            .verdicts = memory_new_array(batch_max, sizeof(struct verdict)),
        };
}

void batch_ring_release(struct batch_ring *ring)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        free(ring->batches[i].orders);
        free(ring->batches[i].verdicts);
    }
}

/* `age` 0 is the oldest. */
static unsigned slot_of(const struct batch_ring *ring, unsigned age)
{
    return (ring->oldest + age) % BATCHES;
}

bool batch_ring_full(const struct batch_ring *ring)
{
    return ring->count == BATCHES;
}

size_t batch_ring_first_of(const struct batch_ring *ring, const struct own_batch *batch)
{
    size_t first = 0;
    for (unsigned age = 0; &ring->batches[slot_of(ring, age)] != batch; age++)
        first += ring->batches[slot_of(ring, age)].count;
    return first;
}

size_t batch_ring_first_waiting(const struct batch_ring *ring)
{
    size_t first = 0;
    for (unsigned age = 0; age < ring->count; age++)
        first += ring->batches[slot_of(ring, age)].count;
    return first;
}

unsigned batch_ring_executing(const struct batch_ring *ring)
{
    unsigned count = 0;
    for (unsigned age = 0; age < ring->count; age++)
        count += ring->batches[slot_of(ring, age)].phase == BATCH_EXECUTING;
    return count;
}

struct own_batch *batch_ring_written(struct batch_ring *ring)
{
    if (ring->count == 0)
        return NULL;
    struct own_batch *youngest = &ring->batches[slot_of(ring, ring->count - 1)];
    return youngest->phase == BATCH_WRITTEN ? youngest : NULL;
}

struct own_batch *batch_ring_add(struct batch_ring *ring, size_t count)
{
    assert(!batch_ring_full(ring));
    struct own_batch *batch = &ring->batches[slot_of(ring, ring->count++)];
    batch->phase = BATCH_WRITTEN;
    batch->count = count;
    return batch;
}

void batch_ring_forget_written(struct batch_ring *ring)
{
    if (batch_ring_written(ring) != NULL)
        ring->count--;
}

size_t batch_ring_remove_answered(struct batch_ring *ring)
{
    size_t orders = 0;
    for (; ring->count > 0 && ring->batches[ring->oldest].phase == BATCH_ANSWERED; ring->count--) {
        orders += ring->batches[ring->oldest].count;
        ring->oldest = slot_of(ring, 1);
    }
    return orders;
}
