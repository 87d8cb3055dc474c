/* The orders table: the source of truth. */
#ifndef CLIENTS_POSTGRES_ORDERS_H
#define CLIENTS_POSTGRES_ORDERS_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"

enum order_lookup { ORDER_FOUND, ORDER_NOT_FOUND, ORDER_LOOKUP_FAILED };
typedef void order_found_fn(void *arg, enum order_lookup result, const struct order *order,
                            const struct database_answer *answer);

/* Read one order by id. Returns 0 or -1 as database_send(). */
int orders_find(struct database *database, const struct order_id *id, order_found_fn *on_done,
                void *arg) __attribute__((warn_unused_result));

#define ORDERS_BATCH_MAX 1000

/* What became of each order of a batch, by its place in the batch. */
struct insert_result {
    enum insert_status {
        INSERT_STORED,   /* the order's row is there: inserted now or before */
        INSERT_CONFLICT, /* a row with this id and other content is there */
    } status;
    /* INSERT_STORED: of the row. An order that was sent again under its Idempotency-Key after the
     * first attempt had been forgotten has a later instant of its own; the first one's stays. */
    int64_t created_at_us;
};
/* answer->status tells whether the batch succeeded; `results` only when DATABASE_OK. */
typedef void orders_inserted_fn(void *arg, const struct insert_result *results,
                                const struct database_answer *answer);

struct orders_insert;

/* The statement that inserts a batch of 1..ORDERS_BATCH_MAX orders, idempotently: ON CONFLICT (id)
 * DO NOTHING, sorted by id inside, existing rows re-read and compared. All or none. The orders stay
 * the caller's and unchanged until the callback, or until this is freed. The same id may occur
 * twice in a batch. */
struct orders_insert *orders_insert_new(const struct order *const orders[], size_t count)
    __attribute__((warn_unused_result));
void orders_insert_free(struct orders_insert *insert); /* NULL is legal */

/* Send it. Takes it, also when it fails. Returns 0 or -1 as database_send(). */
int orders_insert_send(struct orders_insert *insert, struct database *database,
                       orders_inserted_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
