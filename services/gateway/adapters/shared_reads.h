/* An order_reader that asks the store only once for an order that several requests want to read at
 * the same time, also on different loops: a crowd of readers of one order is one query. */
#ifndef GATEWAY_ADAPTERS_SHARED_READS_H
#define GATEWAY_ADAPTERS_SHARED_READS_H

#include "services/gateway/ports/order_reader.h"
#include <h2o.h>

/* The reads under way of all loops. */
struct read_table;
struct read_table *read_table_new(void);
void read_table_free(struct read_table *table); /* after its readers */

/* The reader of one loop, on top of that loop's `store`, which stays the caller's. `queue` is the
 * loop's own (h2o_context_t). */
struct order_reader *shared_reads_new(struct read_table *table, struct order_reader *store,
                                      h2o_multithread_queue_t *queue);

/* After the loops have stopped; readers that wait are dropped without an answer. */
void shared_reads_free(struct order_reader *shared);

#endif
