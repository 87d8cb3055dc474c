/* Asks Elasticsearch which orders have a document. */
#ifndef SCHEDULER_ORDER_DOCUMENTS_H
#define SCHEDULER_ORDER_DOCUMENTS_H

#include "proto/order.h"
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct order_documents;

/* `server` and `index` are copied. */
struct order_documents *order_documents_new(struct event_loop *loop,
                                            const struct elasticsearch_options *server,
                                            const char *index);
void order_documents_free(struct order_documents *documents); /* NULL is legal */

/* found[i]: the order has a document with its name and its amount. `found` is NULL when that could
 * not be learned. */
typedef void order_documents_fn(void *arg, const bool *found);

/* Look for 1..ORDER_DOCUMENTS_MAX orders, of which only the bytes in use are copied. Sees what was
 * written before, also when a search does not yet, but for an alias of several indexes. Returns 0,
 * or -1 while a look is under way. The callback comes from the loop, after a few seconds at most.
 */
#define ORDER_DOCUMENTS_MAX 10
int order_documents_look(struct order_documents *documents, const struct order *const *orders,
                         size_t count, order_documents_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* No callback any more, to the look that is under way. */
void order_documents_forget(struct order_documents *documents);

/* For --check; blocks at most 5 s. Returns 0, or -1 with `err` set. */
int order_documents_reach(const struct elasticsearch_options *server, const char *index,
                          struct error *err) __attribute__((warn_unused_result));

#endif
