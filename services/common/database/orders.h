/* The orders table: the source of truth. */
#ifndef DATABASE_ORDERS_H
#define DATABASE_ORDERS_H

#include "proto/order.h"
#include "services/common/database/connection.h"

enum order_lookup { ORDER_FOUND, ORDER_NOT_FOUND, ORDER_LOOKUP_FAILED };
typedef void order_found_fn(void *arg, enum order_lookup result, const struct order *order,
                            const struct database_answer *answer);

/* Read one order by id. Returns 0 or -1 as database_send(). */
int orders_find(struct database *database, const struct order_id *id, order_found_fn *on_done,
                void *arg) __attribute__((warn_unused_result));

#define ORDERS_BATCH_MAX 1000

/* What became of each order of a batch, by its place in the batch. */
enum insert_result {
    INSERT_STORED,   /* the row is there and equal to the order: inserted now or before */
    INSERT_CONFLICT, /* a row with this id and other content is there */
};
/* answer->status tells whether the batch succeeded; `results` only when DATABASE_OK. */
typedef void orders_inserted_fn(void *arg, const enum insert_result *results,
                                const struct database_answer *answer);

/* Insert a batch in one statement, idempotently: ON CONFLICT (id) DO NOTHING, sorted by id inside,
 * existing rows re-read and compared. All or none. The orders stay the caller's and unchanged until
 * the callback. The same id may occur twice in a batch. Returns 0 or -1 as database_send(). */
int orders_insert(struct database *database, const struct order *const orders[], size_t count,
                  orders_inserted_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
