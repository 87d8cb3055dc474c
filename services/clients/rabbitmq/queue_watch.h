/* How the order queue and its dead-letter queue stand, as metrics: order_queue_messages,
 * order_queue_consumers, dead_letter_queue_messages; NaN while nobody knows. One thread. A NULL
 * `watch` watches nothing. */
#ifndef CLIENTS_RABBITMQ_QUEUE_WATCH_H
#define CLIENTS_RABBITMQ_QUEUE_WATCH_H

#include "services/clients/rabbitmq/amqp.h"

struct queue_watch;

/* `queue` must outlive it. Registers the metrics. */
struct queue_watch *queue_watch_new(const char *queue);
void queue_watch_free(struct queue_watch *watch);

/* What the broker has said about either queue. */
void queue_watch_take(struct queue_watch *watch, const amqp_queue_declare_ok_t *counts);

/* The connection is down or blocked. */
void queue_watch_forget(struct queue_watch *watch);

#endif
