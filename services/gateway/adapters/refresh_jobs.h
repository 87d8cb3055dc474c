/* sales_refresh by way of the table of jobs (services/clients/postgres/jobs.h): one instance for
 * each loop, with a database connection of its own. All requests that wait on a loop share two
 * statements every 150 ms, one that asks for the new ones and one that looks at what was asked. The
 * connection also tells what the schedulers know of the search index. */
#ifndef GATEWAY_ADAPTERS_REFRESH_JOBS_H
#define GATEWAY_ADAPTERS_REFRESH_JOBS_H

#include "services/gateway/ports/sales_refresh.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct search_index;

#define REFRESH_JOBS_MAX_WAITING 1000 /* callers at once; more are refused */

struct refresh_jobs_options {
    const char *dsn; /* copied */
    /* Bits of enum database_use: what the connection looks after in the schema, for all others. */
    unsigned uses;
    /* Called on each change of state (a scheduler is there, or none is), NULL reason when up. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
    /* What is known of the search index: about each second. NULL: nothing ever was, because there
     * is no connection. */
    void (*on_index)(void *arg, const struct search_index *index);
    void *index_arg;
    /* As database_options.on_state. */
    void (*on_connection)(void *arg, bool up, const char *reason);
    void *connection_arg;
};

struct sales_refresh *refresh_jobs_new(struct event_loop *loop,
                                       const struct refresh_jobs_options *options);

/* Waiting callers are dropped without an answer. NULL is legal. */
void refresh_jobs_free(struct sales_refresh *refresh);

#endif
