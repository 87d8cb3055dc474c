/* Port: the cache of orders that clients read (Redis in production).
 *
 * Common to all ports: one instance belongs to one loop and is used on its thread only. A call
 * returns 0 and then answers exactly once, from the loop and never from inside the call, within its
 * deadline; or it returns -1 at once, and no answer comes. Arguments are the caller's, and needed
 * during the call only unless it is said otherwise. An operation cannot be cancelled: `arg` must
 * live until the answer, also when the client has had an answer already (request.h, the guard).
 * What a callback receives lives during the callback only.
 */
#ifndef GATEWAY_PORTS_ORDER_CACHE_H
#define GATEWAY_PORTS_ORDER_CACHE_H

#include "proto/order_id.h"
#include <stddef.h>

/* A reserved entry vanishes after this time unless it is confirmed. */
#define ORDER_CACHE_PROVISIONAL_S 30

enum order_cache_status {
    ORDER_CACHE_CREATED,     /* reserve: there was no entry, now it is this order */
    ORDER_CACHE_FOUND,       /* reserve, get: the entry's content is handed over */
    ORDER_CACHE_ABSENT,      /* get: no such entry, and none that is to be written later */
    ORDER_CACHE_OK,          /* put, confirm, remove, replace, keep: done */
    ORDER_CACHE_UNAVAILABLE, /* no connection, no answer in time, or an error: may have happened */
};

/* `json` is the entry's content for ORDER_CACHE_FOUND, else NULL. */
typedef void order_cache_done_fn(void *arg, enum order_cache_status status, const char *json,
                                 size_t json_len);

struct order_cache {
    void *self;

    /* Create the entry provisionally unless there is one: SET NX GET EX 30. */
    int (*reserve)(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg);

    /* Create the entry of an accepted order whose id nobody else knows: SET EX TTL. When the cache
     * cannot be reached the adapter keeps the order (bounded) and writes it when it can. `id` and
     * `json` must live, unchanged, until the answer. Returns -1 when the cache cannot be reached
     * now. */
    int (*put)(void *self, const struct order_id *id, const char *json, size_t json_len,
               order_cache_done_fn *on_done, void *arg);

    /* The same for an order that was reserved. Its entry lasts for the cache's whole TTL, even when
     * the provisional one is gone: EXPIRE, and SET when there was none. */
    int (*confirm)(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg);

    /* Take back a reservation that this request created, unless somebody has confirmed it since. */
    int (*remove)(void *self, const struct order_id *id, order_cache_done_fn *on_done, void *arg);

    /* Put an order, provisionally, in the place of any entry of its id: SET EX 30. To take it back,
     * remove() it: the former entry is gone. */
    int (*replace)(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg);

    /* The order that replace() put there is accepted: its entry lasts for the cache's whole TTL. An
     * entry of other content stays as it is, and none is made: the order is found in the store. */
    int (*keep)(void *self, const struct order_id *id, const char *json, size_t json_len,
                order_cache_done_fn *on_done, void *arg);

    /* Read an entry. */
    int (*get)(void *self, const struct order_id *id, order_cache_done_fn *on_done, void *arg);

    /* Put an order read from the store, unless there is an entry: SET NX EX TTL. No answer comes.
     */
    void (*fill)(void *self, const struct order_id *id, const char *json, size_t json_len);
};

#endif
