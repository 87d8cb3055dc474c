/* Port: the durable queue that accepted orders go to (RabbitMQ in production). The rules of all
 * ports: order_cache.h. */
#ifndef GATEWAY_PORTS_ORDER_QUEUE_H
#define GATEWAY_PORTS_ORDER_QUEUE_H

#include "proto/order_id.h"
#include "proto/trace_context.h"
#include "services/clients/rabbitmq/publish_result.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void order_queue_done_fn(void *arg, enum publish_result result);

/* One order on its way to the queue. */
struct order_message {
    const struct order_id *id; /* the message_id */
    const char *json;
    size_t json_len;
    const struct trace_context *trace; /* the headers traceparent and tracestate */
    int64_t replay_of; /* the header x-replay-of: the dead letter that is replayed; 0: none */
};

struct order_queue {
    void *self;

    /* Publish one order. Its `json` must live, unchanged, until the answer; all else is copied.
     * `deadline_ms` is on clock_monotonic_ms(). Returns -1 at once when the broker is known to be
     * down or blocked, or the window is full: then it is certainly not in the queue and no answer
     * comes. */
    int (*publish)(void *self, const struct order_message *message, int64_t deadline_ms,
                   order_queue_done_fn *on_done, void *arg);

    /* Whether a publish would be taken now: asked before anything is stored for an order. */
    bool (*accepts)(void *self);
};

#endif
