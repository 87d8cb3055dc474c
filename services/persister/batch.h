/* One batch on its way into PostgreSQL: which part of it to try next, and what an answer means for
 * the orders of that part. No database, no clock of its own. */
#ifndef PERSISTER_BATCH_H
#define PERSISTER_BATCH_H

#include "services/clients/postgres/orders.h"
#include "services/worker/parts.h"

/* An order's insertion has 5 s in all (with indexing it has to be within the 10 s after which its
 * message is requeued). One statement, limited by the server, has less: so four can fail one after
 * another, which is what finding one slow row among 500 takes. A locked row is found sooner. After
 * BATCH_TRY_MS no other statement is begun. */
#define BATCH_STATEMENT_TIMEOUT_MS 1200
#define BATCH_LOCK_TIMEOUT_MS 250
#define BATCH_TRY_MS 3800

/* A plain value: batch_begin() sets it, nothing to free. Members are private. */
struct batch {
    struct verdict *verdicts;
    size_t count;
    int64_t begun_ms;
    struct parts parts;          /* still to be tried */
    bool any_decided;            /* some order is stored or rejected */
    bool systemic;               /* a failure that is no order's fault */
    unsigned failures_by_others; /* before anything was decided */
    struct verdict last_retry;   /* for what there is no time for any more */
};

/* All `count` orders (1..BATCH_MAX) are to be tried; their verdicts go to `verdicts`, which
 * stays the caller's until the batch has ended. */
void batch_begin(struct batch *batch, size_t count, struct verdict verdicts[], int64_t now_ms);

/* The next part to insert in one statement. false: the batch has ended, every verdict is written.
 */
bool batch_next(struct batch *batch, int64_t now_ms, struct part *ret_part);

/* The part was inserted; results as orders_insert() gives them. */
void batch_inserted(struct batch *batch, const struct part *part,
                    const struct insert_result results[]);

/* The statement failed as a whole. */
void batch_failed(struct batch *batch, const struct part *part,
                  const struct database_answer *answer);

/* Once it has ended: nothing can be stored at present, whatever the order. */
bool batch_backend_down(const struct batch *batch);

#endif
