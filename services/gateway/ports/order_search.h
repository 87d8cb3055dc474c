/* Port: the index of orders, which is searched (Elasticsearch in production). The rules of all
 * ports: order_cache.h. */
#ifndef GATEWAY_PORTS_ORDER_SEARCH_H
#define GATEWAY_PORTS_ORDER_SEARCH_H

#include "proto/order_id.h"
#include <stddef.h>

#define ORDER_SEARCH_TIMEOUT_MS 5000
#define ORDER_DOCUMENT_TIMEOUT_MS 1000
#define ORDER_SEARCH_WINDOW 10000 /* from + size; Elasticsearch's index.max_result_window */

enum order_search_status {
    ORDER_SEARCH_OK,
    ORDER_SEARCH_FAILED,  /* the engine cannot be reached, or answers an error */
    ORDER_SEARCH_TIMEOUT, /* no answer in ORDER_SEARCH_TIMEOUT_MS */
    ORDER_SEARCH_NO_ROOM, /* the answers in memory have taken all that they may */
};

/* The engine's own answer, unchanged. It may be large, so it is handed over and not copied. */
struct order_search_answer {
    const char *body;
    size_t body_len;
    void *owner;
    void (*release)(void *owner); /* to be called once, on the loop's thread */
};

/* `answer` is NULL unless ORDER_SEARCH_OK; then it is the receiver's to release. */
typedef void order_search_done_fn(void *arg, enum order_search_status status,
                                  const struct order_search_answer *answer);

enum order_document {
    ORDER_DOCUMENT_FOUND,
    ORDER_DOCUMENT_ABSENT,
    ORDER_DOCUMENT_UNKNOWN, /* no answer in ORDER_DOCUMENT_TIMEOUT_MS, or another one */
};

typedef void order_document_fn(void *arg, enum order_document document);

struct order_search {
    void *self;

    /* Orders whose product name matches `term` (UTF-8, not empty), `size` of them after the first
     * `from`. Returns -1 at once when too many searches are under way. */
    int (*search)(void *self, const char *term, size_t term_len, unsigned size, unsigned from,
                  order_search_done_fn *on_done, void *arg);

    /* Whether searches find this order by now. Returns -1 as search(). */
    int (*has_document)(void *self, const struct order_id *id, order_document_fn *on_done,
                        void *arg);
};

#endif
