/* Consumes the order queue on a connection of its own, which it makes, and makes again, by itself.
 * On the loop's thread; never blocks. Metrics: bridge_intake_*. Health: "rabbitmq". */
#ifndef BRIDGE_INTAKE_H
#define BRIDGE_INTAKE_H

#include "services/clients/rabbitmq/content.h"
#include "services/clients/rabbitmq/link.h"

#define INTAKE_LARGE_BYTES (16u << 20) /* large contents in memory, about */

struct intake_options {
    struct broker_options broker; /* these strings and `queue` must outlive the intake */
    const char *queue;
    enum queue_type queue_type;
    uint16_t prefetch;
    /* A new connection consumes. Its tags start from 1; `epoch` is never used again. Or, with epoch
     * 0, the connection is lost, or the first attempt to make one has failed: the broker delivers
     * again what is not settled. */
    void (*on_connection)(void *arg, uint64_t epoch);
    /* A delivery with its content, decoded; the reference is the callee's. Returns -1 to give the
     * connection up. */
    int (*on_delivery)(void *arg, uint64_t delivery_tag, struct content *content);
    /* All that had arrived has been handed over. Must end with intake_flush(). */
    void (*on_turn)(void *arg);
    void *arg;
};

struct intake;

struct intake *intake_new(struct event_loop *loop, const struct intake_options *options);
/* Closes the connection politely (at most 1 s) when it consumes. All contents must be released
 * before. */
void intake_free(struct intake *intake);

void intake_start(struct intake *intake);

/* Settle a delivery of this connection; sent by intake_flush(). */
void intake_ack(struct intake *intake, uint64_t delivery_tag, bool multiple);
void intake_requeue(struct intake *intake, uint64_t delivery_tag);

/* Send what is settled, as far as the socket takes it, and read on where a large content waited for
 * an earlier one. May call on_connection(). */
void intake_flush(struct intake *intake);
/* Settlements that are not sent yet. */
size_t intake_unsent(const struct intake *intake);

/* Give everything back to the broker, and consume again on a new connection. Calls on_connection().
 */
void intake_renew(struct intake *intake);

/* Consume no more; deliveries on their way still arrive. */
void intake_cancel(struct intake *intake);

#endif
