/* The addresses of the servers that a connection string names. Inside the database module. */
#ifndef CLIENTS_POSTGRES_SERVER_LOOKUP_H
#define CLIENTS_POSTGRES_SERVER_LOOKUP_H

#include "proto/error.h"
#include "services/clients/postgres/dsn.h"
#include "services/loop/event_loop.h"

struct server_lookup;

/* `servers`: one entry per address (cut at SERVERS_MAX), those whose name cannot be resolved left
 * out; NULL, and `err` says why, when none is left. The lookup is over then: free it, also inside
 * the callback. */
typedef void server_lookup_done_fn(void *arg, const struct server_list *servers,
                                   const struct error *err);

/* Resolve the names among `servers` (copied) off the loop, one after another, without a deadline.
 * Returns NULL when there is none: then all can be connected to as they are. */
struct server_lookup *server_lookup_new(struct event_loop *loop, const struct server_list *servers,
                                        server_lookup_done_fn *on_done, void *arg);

/* Legal at any time. NULL is legal. */
void server_lookup_free(struct server_lookup *lookup);

#endif
