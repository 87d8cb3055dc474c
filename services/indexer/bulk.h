/* One batch on its way into Elasticsearch: which part of it to send next, and what an answer means
 * for the orders of that part. No network, no clock of its own. */
#ifndef INDEXER_BULK_H
#define INDEXER_BULK_H

#include "proto/error.h"
#include "services/worker/parts.h"
#include <stdint.h>

/* For all requests of a batch together; with inserting it has to be within the 10 s after which an
 * order's message is requeued. */
#define BULK_TIMEOUT_MS 4000

/* A plain value: bulk_begin() sets it, nothing to free. Members are private. */
struct bulk {
    struct verdict *verdicts;
    int64_t deadline_ms;
    struct parts parts;        /* still to be sent */
    bool any_decided;          /* some order is indexed or rejected */
    bool systemic;             /* a failure that is no order's fault */
    struct verdict last_retry; /* for what there is no time for any more */
};

/* All `count` orders (1..BATCH_MAX) are to be sent; their verdicts go to `verdicts`, which stays
 * the caller's until the batch has ended. */
void bulk_begin(struct bulk *bulk, size_t count, struct verdict verdicts[], int64_t now_ms);

/* The next part to send in one request, and the time for it. false: the batch has ended, every
 * verdict is written. */
bool bulk_next(struct bulk *bulk, int64_t now_ms, struct part *ret_part, int64_t *ret_timeout_ms);

/* Only the first `count` orders of the part fit into the request. */
void bulk_shorten(struct bulk *bulk, struct part *part, size_t count);

/* The answer to the part: HTTP status, or 0 without an answer; then `err` says why. */
void bulk_answered(struct bulk *bulk, const struct part *part, long status, const char *body,
                   size_t len_bytes, const struct error *err);

/* Once it has ended: nothing can be indexed at present, whatever the order. */
bool bulk_backend_down(const struct bulk *bulk);

#endif
