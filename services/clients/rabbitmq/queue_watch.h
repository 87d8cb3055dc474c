/* How the order queue and its dead-letter queue stand, as metrics: order_queue_messages,
 * order_queue_consumers, dead_letter_queue_messages, each with the name of the order queue; NaN
 * while nobody knows. One thread. */
#ifndef CLIENTS_RABBITMQ_QUEUE_WATCH_H
#define CLIENTS_RABBITMQ_QUEUE_WATCH_H

#include "services/clients/rabbitmq/amqp.h"

struct queue_watch {
    struct metric_gauge *messages, *consumers, *dead_messages; /* NULL: nothing is watched */
};

/* Register the metrics of the order queue `queue`. */
void queue_watch_init(struct queue_watch *watch, const char *queue);

/* What the broker has said about the order queue `queue`, or about its dead-letter queue. */
void queue_watch_take(const struct queue_watch *watch, const char *queue,
                      const amqp_queue_declare_ok_t *counts);

/* The connection is down or blocked. */
void queue_watch_forget(const struct queue_watch *watch);

#endif
