/* The reply, worker → bridge: one verdict per order of a job. Layout and versions:
 * PROTOCOL.md. */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include "proto/job.h"
#include "proto/verdict.h"

#define REPLY_MAX_ITEMS JOB_MAX_ORDERS

struct reply_item {
    uint64_t delivery_tag;
    uint32_t attempt;
    struct verdict verdict;
};

/* Encode 1..REPLY_MAX_ITEMS items, in the version of the route; returns the length in bytes. Bytes
 * of code and detail that are not printable ASCII are sent as '?'. */
size_t reply_encode(const struct job_route *route, const struct reply_item *items, size_t count,
                    uint8_t buffer[FRAME_MAX_BYTES]);

/* Decode, strict and bounded as job_decode(). Returns 0, or -1 with `err` set. */
int reply_decode(const uint8_t *frame, size_t len_bytes, struct job_route *ret_route,
                 struct reply_item ret_items[REPLY_MAX_ITEMS], size_t *ret_count, struct error *err)
    __attribute__((warn_unused_result));

#endif
