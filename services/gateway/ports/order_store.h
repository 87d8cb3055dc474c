/* Port: the source of truth (PostgreSQL in production). The rules of all ports: order_cache.h.
 * Every operation is answered within ORDER_STORE_TIMEOUT_MS (and a little for the network). */
#ifndef GATEWAY_PORTS_ORDER_STORE_H
#define GATEWAY_PORTS_ORDER_STORE_H

#include "proto/order.h"
#include "proto/trace_context.h"
#include "services/clients/postgres/fate.h"
#include "services/clients/postgres/sales_day.h"
#include <stddef.h>

#define ORDER_STORE_TIMEOUT_MS 5000

enum order_store_status {
    ORDER_STORE_OK,
    ORDER_STORE_CONFLICT,    /* insert_bulk only: see there */
    ORDER_STORE_UNKNOWN,     /* insert_bulk only: no answer, it may have happened */
    ORDER_STORE_UNAVAILABLE, /* not now; certainly nothing was stored */
    ORDER_STORE_FAILED,      /* the server refused; certainly nothing was stored */
    ORDER_STORE_UNFINISHED,  /* read_sales only: not all orders are summed up yet */
    ORDER_STORE_IMPOSSIBLE,  /* read_sales only: nor will they be, until somebody changes that */
};

typedef void order_store_sales_fn(void *arg, enum order_store_status status,
                                  const struct sales_day *days, size_t count);

/* `fate` is NULL unless ORDER_STORE_OK. */
typedef void order_store_fate_fn(void *arg, enum order_store_status status,
                                 const struct order_fate *fate);

typedef void order_store_inserted_fn(void *arg, enum order_store_status status);

struct order_store {
    void *self;

    /* Revenue by day, newest first, at most SALES_DAYS_MAX, as of the last refresh: none when the
     * view is empty or was never filled. `live`: as of the last commit; ORDER_STORE_UNFINISHED
     * until there is a ledger that has all orders, ORDER_STORE_IMPOSSIBLE when there can be none.
     * Returns -1 at once without a connection or with too many reads under way. */
    int (*read_sales)(void *self, bool live, order_store_sales_fn *on_done, void *arg);

    /* The row and the dead letters of one order. Returns -1 as read_sales(). */
    int (*fate)(void *self, const struct order_id *id, order_store_fate_fn *on_done, void *arg);

    /* Store orders and their outbox rows in one transaction, all or none, and have the outbox
     * relayed soon, all in one trace. `orders` (1..1000) stay
     * the caller's, unchanged until the answer. ORDER_STORE_OK: all were stored now, or all were
     * stored before with the same names and amounts (a replay: the first created_at stays).
     * ORDER_STORE_CONFLICT: anything else was found under one of the ids, or only some of the ids
     * were there; nothing was stored. Returns -1 at once without a connection or when too many bulk
     * transactions are under way. */
    int (*insert_bulk)(void *self, const struct order *orders, size_t count,
                       const struct trace_context *trace, order_store_inserted_fn *on_done,
                       void *arg);
};

#endif
