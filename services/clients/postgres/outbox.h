/* The outbox: bulk orders that still have to go to the queue, stored in the transaction that stored
 * the orders. They are published under a lease, with no transaction open meanwhile. */
#ifndef CLIENTS_POSTGRES_OUTBOX_H
#define CLIENTS_POSTGRES_OUTBOX_H

#include "proto/order.h"
#include "proto/trace_context.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/orders.h"

enum bulk_result {
    BULK_STORED,   /* all rows and their outbox rows committed; or they already were, with the same
                      content */
    BULK_CONFLICT, /* an id is taken by other content, or some ids are taken and others not:
                      nothing stored */
    BULK_FAILED,   /* see answer; nothing stored if DATABASE_FAILED or `unexecuted`, else unknown */
};
typedef void bulk_stored_fn(void *arg, enum bulk_result result,
                            const struct database_answer *answer);

/* Store 1..ORDERS_BATCH_MAX orders of different ids and their outbox rows, all or none, in one
 * transaction; the outbox rows say which trace they belong to. The orders stay the caller's until
 * the callback. Equality of a replay is by name and amount (the first's created_at stays); a replay
 * that has some of the first's orders only cannot be told from it. Returns 0 or -1 as
 * database_send(). */
int orders_insert_bulk(struct database *database, const struct order *orders, size_t count,
                       const struct trace_context *trace, bulk_stored_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#define OUTBOX_BATCH 500
#define OUTBOX_LEASE_MS 5000

/* Orders of the outbox under a lease: until OUTBOX_LEASE_MS after they were taken, by the
 * database's clock, no other gateway takes them. */
struct outbox_batch {
    size_t count;
    struct outbox_row {
        int64_t seq; /* the row's key */
        struct order_id order_id;
        const char *json; /* what to publish */
        size_t json_len;
        struct trace_context trace; /* a new one when the row names none */
        int64_t replay_of;          /* the dead letter that is replayed; 0: none */
    } rows[OUTBOX_BATCH];
    char lease[8]; /* when it ends, as PostgreSQL's binary form: also the lease's name */
    char text[];   /* of all rows */
};

/* `batch` is the receiver's: free() it. NULL when there is nothing to do, or see answer. */
typedef void outbox_taken_fn(void *arg, struct outbox_batch *batch,
                             const struct database_answer *answer);

/* Take the oldest orders that are under no lease, at most OUTBOX_BATCH. Returns 0 or -1 as
 * database_send(). */
int outbox_take(struct database *database, outbox_taken_fn *on_taken, void *arg)
    __attribute__((warn_unused_result));

/* All of the batch are in the queue: delete their rows, also those whose lease has ended. Or some
 * are not (`published` is false): end the lease, unless another gateway has the rows by now.
 * Without an answer of DATABASE_OK the rows are handed out again when the lease ends. Returns 0 or
 * -1 as database_send(). */
int outbox_finish(struct database *database, const struct outbox_batch *batch, bool published,
                  database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

#define OUTBOX_COUNT_MAX 10000

/* What the outbox holds: how many orders (counted up to OUTBOX_COUNT_MAX), and the seconds since
 * the oldest of them was stored; 0 when empty. */
struct outbox_backlog {
    size_t orders;
    double oldest_seconds;
};
typedef void outbox_backlog_fn(void *arg, const struct outbox_backlog *backlog,
                               const struct database_answer *answer);
int outbox_backlog(struct database *database, outbox_backlog_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
