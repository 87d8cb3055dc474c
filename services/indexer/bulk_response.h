/* The answer to a _bulk request that was taken as a whole (HTTP 200): it still says of each order
 * what became of it. */
#ifndef INDEXER_BULK_RESPONSE_H
#define INDEXER_BULK_RESPONSE_H

#include "proto/error.h"
#include "services/worker/backend.h"

/* What the indexer needs of the answer: the items' statuses, in the order of the request, and why.
 */
#define BULK_RESPONSE_FILTER                                                                       \
    "filter_path=items.*.status,items.*.error.type,items.*.error.reason,error.type,error.reason"

/* Write the verdicts of the `count` orders of the request, by item status: 2xx and 409 done; 400
 * reject, unless it is about the index (closed); everything else retry (429 and 5xx: overload; 403
 * and 404: configuration). Returns 0, or
 * -1 with `err` set, and the verdicts untouched, when the body is not the answer to `count` orders.
 */
int bulk_response_read(const char *body, size_t len_bytes, size_t count, struct verdict verdicts[],
                       struct error *err) __attribute__((warn_unused_result));

#endif
