/* The orders that a worker has read and not answered yet: a queue of fixed capacity. */
#ifndef WORKER_HELD_ORDERS_H
#define WORKER_HELD_ORDERS_H

#include "proto/job.h"

struct held_order {
    struct order order;
    uint64_t delivery_tag;
    uint32_t attempt;
    struct trace_id trace_id;
    unsigned bridge; /* whom to answer */
    struct job_route route;
};

struct held_orders {
    size_t capacity, oldest, count;
    struct held_order slots[];
};

struct held_orders *held_orders_new(size_t capacity);
void held_orders_free(struct held_orders *held);

/* Append a copy; there must be room. */
void held_orders_append(struct held_orders *held, unsigned bridge, const struct job_route *route,
                        const struct job_item *item);

/* The order at `place`, 0 being the oldest; it stays where it is in memory until removed. */
const struct held_order *held_orders_at(const struct held_orders *held, size_t place);

/* Remove the `count` oldest, or all but the `count` oldest. */
void held_orders_remove(struct held_orders *held, size_t count);
void held_orders_truncate(struct held_orders *held, size_t count);

#endif
