/* Port: reads of one order from the source of truth, for a GET that missed the cache, and to know
 * what an Idempotency-Key stands for. The rules of all ports: order_cache.h. */
#ifndef GATEWAY_PORTS_ORDER_READER_H
#define GATEWAY_PORTS_ORDER_READER_H

#include "services/gateway/ports/order_store.h"

/* `order` is NULL when there is no such row (with ORDER_STORE_OK) or the status is not OK. */
typedef void order_store_found_fn(void *arg, enum order_store_status status,
                                  const struct order *order);

struct order_reader {
    void *self;

    /* Returns -1 at once without a connection or with too many reads under way. */
    int (*find)(void *self, const struct order_id *id, order_store_found_fn *on_done, void *arg);
};

#endif
