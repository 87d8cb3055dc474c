/* Port: waiting until an accepted order is stored (PostgreSQL in production). The rules of all
 * ports: order_cache.h. */
#ifndef GATEWAY_PORTS_ORDER_WAITS_H
#define GATEWAY_PORTS_ORDER_WAITS_H

#include "proto/order.h"

enum order_wait_result {
    ORDER_WAIT_STORED, /* a row with its id and its payload is committed */
    ORDER_WAIT_DIED,   /* it has become a dead letter */
    ORDER_WAIT_OVER,   /* neither, in its time */
};

/* `reason` is that of ORDER_WAIT_DIED, else NULL. */
typedef void order_wait_done_fn(void *arg, enum order_wait_result result, const char *reason);

struct order_waits {
    void *self;

    /* Wait for an order that was confirmed just now. A letter counts if it was archived after
     * `began_ms`, when the request came; the wait ends at `ends_ms`; both on clock_monotonic_ms().
     * Returns -1 at once when too many wait, or when the gateway stops. */
    int (*wait)(void *self, const struct order *order, int64_t began_ms, int64_t ends_ms,
                order_wait_done_fn *on_done, void *arg);
};

#endif
