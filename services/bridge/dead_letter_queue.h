/* Publishes dead letters, confirmed, on a connection and a thread of their own: in an alarm
 * RabbitMQ stops reading connections that publish, acks included. Results come back to the loop.
 * It connects once it is told that the broker can be reached, so that in an outage only one of the
 * bridge's two connections keeps trying.
 * Health: "dead_letter_queue" (degraded). */
#ifndef BRIDGE_DEAD_LETTER_QUEUE_H
#define BRIDGE_DEAD_LETTER_QUEUE_H

#include "services/bridge/flow.h"
#include "services/clients/rabbitmq/publisher.h"
#include "services/loop/event_loop.h"

struct dead_letter_queue_options {
    struct broker_options broker; /* these strings and `queue` must outlive it */
    const char *queue;            /* the order queue, from which the other's name follows */
    enum queue_type queue_type;
    struct flow *flow;          /* told what became of each dead letter, on the loop's thread */
    void (*on_turn)(void *arg); /* a batch of results has been handed over */
    void *arg;
};

struct dead_letter_queue;

struct dead_letter_queue *dead_letter_queue_new(struct event_loop *loop,
                                                const struct dead_letter_queue_options *options);
/* Waits at most `drain_ms` for confirms; no result is handed over any more. */
void dead_letter_queue_free(struct dead_letter_queue *queue, int64_t drain_ms);

/* Whether another connection of the process is up. At first it is not. */
void dead_letter_queue_set_reachable(struct dead_letter_queue *queue, bool reachable);

/* As flow_ports.dead_letter. */
int dead_letter_queue_publish(struct dead_letter_queue *queue, struct content *content,
                              const struct dead_letter_report *report, int64_t now_ms)
    __attribute__((warn_unused_result));

#endif
