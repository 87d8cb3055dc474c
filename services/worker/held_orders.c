/* A ring of orders. */
#include "services/worker/held_orders.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>

struct held_orders *held_orders_new(size_t capacity)
{
    struct held_orders *held = memory_new(sizeof(*held) + capacity * sizeof(held->slots[0]));
    held->capacity = capacity;
    return held;
}

void held_orders_free(struct held_orders *held)
{
    free(held);
}

static size_t slot_of(const struct held_orders *held, size_t place)
{
    size_t slot = held->oldest + place;
    return slot < held->capacity ? slot : slot - held->capacity;
}

void held_orders_append(struct held_orders *held, unsigned bridge, const struct job_route *route,
                        const struct job_item *item)
{
    assert(held->count < held->capacity);
    struct held_order *slot = &held->slots[slot_of(held, held->count)];
    order_copy(&slot->order, item->order);
    slot->delivery_tag = item->delivery_tag;
    slot->attempt = item->attempt;
    slot->trace_id = item->trace_id;
    slot->bridge = bridge;
    slot->route = *route;
    held->count++;
}

const struct held_order *held_orders_at(const struct held_orders *held, size_t place)
{
    assert(place < held->count);
    return &held->slots[slot_of(held, place)];
}

void held_orders_remove(struct held_orders *held, size_t count)
{
    assert(count <= held->count);
    held->oldest = slot_of(held, count);
    held->count -= count;
}

void held_orders_truncate(struct held_orders *held, size_t count)
{
    assert(count <= held->count);
    held->count = count;
}
