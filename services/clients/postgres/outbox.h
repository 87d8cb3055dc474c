/* The outbox: bulk orders that still have to go to the queue, stored in the transaction that stored
 * the orders. */
#ifndef CLIENTS_POSTGRES_OUTBOX_H
#define CLIENTS_POSTGRES_OUTBOX_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/orders.h"

enum bulk_result {
    BULK_STORED,   /* all rows and their outbox rows committed; or they already were, with the same
                      content */
    BULK_CONFLICT, /* an id is taken by other content, or some ids are taken and others not:
                      nothing stored */
    BULK_FAILED,   /* see answer; nothing stored if DATABASE_FAILED, unknown if DATABASE_UNAVAILABLE
                    */
};
typedef void bulk_stored_fn(void *arg, enum bulk_result result,
                            const struct database_answer *answer);

/* Store 1..ORDERS_BATCH_MAX orders of different ids and their outbox rows, all or none, in one
 * transaction. The orders stay the caller's until the callback. Equality of a replay is by name and
 * amount (the first's created_at stays); a replay that has some of the first's orders only cannot
 * be told from it. Returns 0 or -1 as database_send(). */
int orders_insert_bulk(struct database *database, const struct order *orders, size_t count,
                       bulk_stored_fn *on_done, void *arg) __attribute__((warn_unused_result));

#define OUTBOX_BATCH 500

/* Relaying, on a connection of its own. One batch is one transaction: lock rows (FOR UPDATE SKIP
 * LOCKED), hand the orders over, and after the caller has had all of them confirmed by the broker,
 * delete and commit; otherwise roll back. The server ends the transaction if outbox_finish() does
 * not come within 15 s (idle_in_transaction_session_timeout). max_in_flight is not used. */
struct outbox_relay;
struct outbox_relay *outbox_relay_new(struct event_loop *loop,
                                      const struct database_options *options);
void outbox_relay_free(struct outbox_relay *relay);

/* `orders` lives until outbox_finish(), which must follow, from this callback or later. count 0:
 * nothing to do or a failure (see answer), no finish needed. Returns -1 when not connected, or when
 * a batch is being taken, held or finished. */
typedef void outbox_batch_fn(void *arg, const struct order *orders, size_t count,
                             const struct database_answer *answer);
int outbox_take(struct outbox_relay *relay, outbox_batch_fn *on_batch, void *arg)
    __attribute__((warn_unused_result));
/* `published`: all of the batch are confirmed. Answered exactly once, from the loop; unless that is
 * DATABASE_OK, the orders will be handed out again. */
void outbox_finish(struct outbox_relay *relay, bool published, database_done_fn *on_done,
                   void *arg);

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
