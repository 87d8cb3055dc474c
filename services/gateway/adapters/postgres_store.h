/* order_store and order_reader on PostgreSQL: two pipelined connections for reads and one for bulk
 * transactions, so that neither waits for the other. */
#ifndef GATEWAY_ADAPTERS_POSTGRES_STORE_H
#define GATEWAY_ADAPTERS_POSTGRES_STORE_H

#include "services/gateway/ports/order_reader.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct postgres_store_options {
    const char *dsn;    /* copied */
    int outbox_wake_fd; /* written to after a bulk was stored (outbox_task.h) */
    /* Called when all connections are up (NULL reason), and when one is not, with what it says. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct order_store *postgres_store_new(struct event_loop *loop,
                                       const struct postgres_store_options *options);

/* The reader on the same connections; it lives as long as the store. */
struct order_reader *postgres_store_reader(struct order_store *port);

/* What is under way is dropped without an answer. */
void postgres_store_free(struct order_store *port);

#endif
