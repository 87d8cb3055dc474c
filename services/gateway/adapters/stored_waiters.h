/* order_waits by looking at PostgreSQL: one instance for each loop, with a database connection of
 * its own. A look asks for all orders that are due, and one look is under way at a time. */
#ifndef GATEWAY_ADAPTERS_STORED_WAITERS_H
#define GATEWAY_ADAPTERS_STORED_WAITERS_H

#include "services/gateway/ports/order_waits.h"
#include "services/loop/event_loop.h"
#include <stdatomic.h>
#include <stdbool.h>

#define STORED_WAITERS_MAX 4096 /* of all loops; more are refused */

struct stored_waiters_options {
    const char *dsn;      /* copied */
    atomic_uint *waiting; /* how many wait, on all loops; lives longer than the instance */
    /* As database_options.on_state. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct order_waits *stored_waiters_new(struct event_loop *loop,
                                       const struct stored_waiters_options *options);

/* The gateway stops: all waits are over now, and new ones are refused. */
void stored_waiters_stop(struct order_waits *waits);

/* Those who wait are dropped without an answer. NULL is legal. */
void stored_waiters_free(struct order_waits *waits);

#endif
