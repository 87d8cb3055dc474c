/* sales_refresh on the scheduler service, over ZeroMQ (proto/PROTOCOL.md, "Refresh"): one instance
 * for each loop. A request goes to the first scheduler of the list that is connected; one that does
 * not accept it within 1 s, or falls silent for 5 s, or declines, is given up for the next, at most
 * twice round the list. The schedulers see to it that many requests make few refreshes. */
#ifndef GATEWAY_ADAPTERS_SCHEDULER_CLIENT_H
#define GATEWAY_ADAPTERS_SCHEDULER_CLIENT_H

#include "services/gateway/ports/sales_refresh.h"
#include "services/loop/event_loop.h"

#define SCHEDULER_CLIENT_MAX_WAITING 1000 /* callers at once; more are refused */

struct scheduler_client_options {
    const char *endpoints; /* SCHEDULER_ENDPOINTS: a comma between them; checked before */
    /* Called on each change of state (a scheduler is connected, or none is), NULL reason when up;
     * first within a second. Optional. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

/* `options` is not kept. Make it where zsys_handler_set(NULL) has been called; use it, and free it,
 * on the loop's thread. */
struct sales_refresh *scheduler_client_new(struct event_loop *loop,
                                           const struct scheduler_client_options *options);

/* Waiting callers are dropped without an answer. NULL is legal. */
void scheduler_client_free(struct sales_refresh *refresh);

#endif
