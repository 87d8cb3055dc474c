/* Keeps an index (BRIN) on orders.created_at, by which the orders of a few days are read without
 * the others. Making it takes as long as the table is large, and stops no writer, so it is no part
 * of the schema's transaction, and it is made on a connection of its own. */
#ifndef SCHEDULER_INDEX_CREATED_AT_INDEX_H
#define SCHEDULER_INDEX_CREATED_AT_INDEX_H

#include "services/loop/event_loop.h"
#include <stdbool.h>

struct created_at_index;

/* `usable`: orders can be read by created_at. Else `reason` says why not: one printable line. */
typedef void created_at_index_fn(void *arg, bool usable, const char *reason);

/* See to it that there is a valid index on created_at, and that it knows all of the table. One that
 * is there is used, whoever made it; one that a making which failed has left is dropped first. The
 * callback comes from the loop, once, but not before PostgreSQL is there and every transaction has
 * ended that was open before: the caller has a deadline. `dsn` is copied. */
struct created_at_index *created_at_index_new(struct event_loop *loop, const char *dsn,
                                              created_at_index_fn *on_done, void *arg);
/* Legal at any time, inside the callback too: what is under way is canceled. NULL is legal. */
void created_at_index_free(struct created_at_index *index);

#endif
