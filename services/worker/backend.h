/* What a worker does with orders: the interface between the common loop of a worker and its store
 * (PostgreSQL for the persister, Elasticsearch for the indexer). */
#ifndef WORKER_BACKEND_H
#define WORKER_BACKEND_H

#include "proto/order.h"
#include "proto/outcome.h"
#include "proto/reply.h"
#include <stdbool.h>
#include <stddef.h>

/* What became of one order, and why. */
struct verdict {
    enum outcome outcome;
    char code[REPLY_CODE_SIZE]; /* empty when done */
    char detail[REPLY_DETAIL_SIZE];
    int64_t created_at_us; /* persisted: as the row has it; else 0 */
};

void verdict_done(struct verdict *verdict, int64_t created_at_us);

/* `code` and `detail` are copied, cut to fit; what is not printable ASCII in `detail` (which a
 * server may have said) becomes '?'. */
void verdict_fail(struct verdict *verdict, enum outcome outcome, const char *code,
                  const char *detail);

/* Every verdict of a batch has been written. `backend_down`: the backend cannot do anything now,
 * whatever the order; false when the failures are those of single orders. */
typedef void worker_executed_fn(void *arg, bool backend_down);

struct worker_backend {
    void *self;
    /* Execute one batch, and write the verdict of orders[i] to verdicts[i]. Never blocks. Orders
     * and verdicts stay the caller's and where they are until `on_executed`, which comes exactly
     * once, also from inside this call, and within 6 s. There is never a second batch before. */
    void (*execute)(void *self, const struct order *const orders[], size_t count,
                    struct verdict verdicts[], worker_executed_fn *on_executed, void *arg);
};

#endif
