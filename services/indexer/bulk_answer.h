/* What the answer to a _bulk request says of the orders of the request. No network of its own. */
#ifndef INDEXER_BULK_ANSWER_H
#define INDEXER_BULK_ANSWER_H

#include "proto/error.h"
#include "services/worker/batch.h"

/* For all requests of a batch together; with inserting it has to be within the 10 s after which an
 * order's delivery is requeued. */
#define BULK_TIMEOUT_MS 4000

/* Judge the batch's part by the HTTP status, or 0 without an answer; then `err` says why. Only 200
 * takes the request as a whole: then each order is judged by the status of its item, which must be
 * in the order's place and have its id; otherwise all of the part are retried. 2xx and 409 done;
 * 400 that is known to be about the document reject; everything else retry (429 and 5xx: overload;
 * any other: configuration). */
void bulk_answer_judge(struct batch *batch, long status, const char *body, size_t len_bytes,
                       const struct error *err);

#endif
