/* Resolving the names of database servers on a short thread of its own, because getaddrinfo()
 * blocks for as long as the name service likes. */
#ifndef DATABASE_HOST_LOOKUP_H
#define DATABASE_HOST_LOOKUP_H

#include "services/common/database/dsn.h"

struct host_lookup;

/* Begin to resolve the servers that have a name without an address. Returns NULL when none has. */
struct host_lookup *host_lookup_start(const struct server_list *servers);

/* Readable when the lookup has finished; stays the lookup's. */
int host_lookup_fd(const struct host_lookup *lookup);

/* After it has finished: the servers with one entry per address (cut at SERVERS_MAX), those that
 * could not be resolved left out. Returns 0, or -1 with `err` set when none is left. */
int host_lookup_servers(const struct host_lookup *lookup, struct server_list *ret_servers,
                        struct error *err) __attribute__((warn_unused_result));

/* Legal before it has finished: the thread then frees the rest. NULL is legal. */
void host_lookup_free(struct host_lookup *lookup);

#endif
