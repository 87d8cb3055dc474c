/* Writes pages of orders to an index by _bulk, beside live traffic. What Elasticsearch refuses for
 * what a document is, it counts and passes over; what Elasticsearch cannot do now, it tries again
 * until it can. */
#ifndef SCHEDULER_INDEX_ORDER_WRITER_H
#define SCHEDULER_INDEX_ORDER_WRITER_H

#include "proto/error.h"
#include "proto/order.h"
#include <stdbool.h>
#include <stddef.h>

struct index_context;
struct order_writer;

struct order_writer_options {
    const char *index; /* name or alias; copied */
    bool require_alias;
    /* Each order of the page is stored or refused; or, when `failure` is set, Elasticsearch has
     * refused for some seconds to write to the index at all. */
    void (*on_done)(void *arg, const struct error *failure);
    void (*on_refused)(void *arg, const struct order_id *id); /* about the document */
    void *arg;
};

/* `context` outlives it. */
struct order_writer *order_writer_new(const struct index_context *context,
                                      const struct order_writer_options *options);
/* A page under way is dropped without a callback. Not legal inside a callback. NULL is legal. */
void order_writer_free(struct order_writer *writer);

bool order_writer_busy(const struct order_writer *writer);

/* Write the first page, or the next one after on_done(): at most ORDER_WRITER_MAX orders, the
 * caller's, which stay unchanged until on_done(). The callback comes from the loop. */
#define ORDER_WRITER_MAX 2000
void order_writer_write(struct order_writer *writer, const struct order *orders, size_t count);

#endif
