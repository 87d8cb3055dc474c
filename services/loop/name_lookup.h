/* Resolving a host name off the loop: getaddrinfo(3) blocks for as long as the name service likes,
 * so each lookup has a short thread of its own. */
#ifndef LOOP_NAME_LOOKUP_H
#define LOOP_NAME_LOOKUP_H

#include "proto/error.h"
#include "services/loop/event_loop.h"
#include <stddef.h>

#define NAME_LOOKUP_ADDRESSES_MAX 64
#define NAME_LOOKUP_ADDRESS_SIZE 64

struct name_lookup_result {
    size_t count; /* 0: it failed, `error` says why */
    char addresses[NAME_LOOKUP_ADDRESSES_MAX][NAME_LOOKUP_ADDRESS_SIZE]; /* numeric, best first */
    struct error error;
};

/* Resolve `host` (a name or a numeric address) at once. Blocks. */
void name_resolve(const char *host, struct name_lookup_result *ret_result);

struct name_lookup;

/* `result` lives during the callback. The lookup is over then: free it, also inside the callback.
 */
typedef void name_lookup_done_fn(void *arg, const struct name_lookup_result *result);

/* The same without blocking; `host` is copied. The callback comes once, from the loop.
 * There is no deadline: the caller has one, and frees the lookup when it passes. */
struct name_lookup *name_lookup_new(struct event_loop *loop, const char *host,
                                    name_lookup_done_fn *on_done, void *arg);

/* Legal at any time: after it no callback comes. Never waits. NULL is legal. */
void name_lookup_free(struct name_lookup *lookup);

#endif
