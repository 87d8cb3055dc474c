/* The job, bridge → worker: some orders for one stage, in one ZeroMQ frame of msgpack.
 * Layout and versions: PROTOCOL.md. */
#ifndef PROTO_JOB_H
#define PROTO_JOB_H

#include "proto/error.h"
#include "proto/order.h"
#include "proto/stage.h"
#include "proto/trace_context.h"
#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION 2        /* of jobs that are sent */
#define FRAME_VERSION_OLDEST 1 /* that is read */
#define FRAME_MAX_BYTES 65536  /* of any job or reply; also the sockets' ZMQ_MAXMSGSIZE */
#define JOB_MAX_ORDERS 50      /* 50 of the longest orders fit into FRAME_MAX_BYTES */

/* Where a job comes from and its reply belongs: unique to one bridge process and one of its
 * consuming connections, because delivery tags start again with each (AMQP 0-9-1, delivery-tag is
 * channel-scoped). */
struct job_route {
    uint8_t incarnation[16]; /* random for each bridge process */
    uint64_t epoch;          /* counts its consuming connections */
    enum stage stage;
    uint8_t version; /* of the frame: a reply is encoded in that of its job */
};

struct job_item {
    uint64_t delivery_tag;
    uint32_t attempt;
    struct trace_id trace_id; /* all zero: none, as in every job of version 1 */
    const struct order *order;
};

/* Encode 1..JOB_MAX_ORDERS items, in FRAME_VERSION; returns the length in bytes. */
size_t job_encode(const struct job_route *route, const struct job_item *items, size_t count,
                  uint8_t buffer[FRAME_MAX_BYTES]);

/* Decode into caller's arrays; ret_items[i].order points to ret_orders[i]. Strict and bounded:
 * declared counts are checked against the bytes left. Returns 0, or -1 with `err` set. */
int job_decode(const uint8_t *frame, size_t len_bytes, struct job_route *ret_route,
               struct job_item ret_items[JOB_MAX_ORDERS], struct order ret_orders[JOB_MAX_ORDERS],
               size_t *ret_count, struct error *err) __attribute__((warn_unused_result));

#endif
