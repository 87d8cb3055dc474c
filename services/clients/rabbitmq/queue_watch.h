/* How the order queue and its dead-letter queue stand, asked of the broker now and then on a
 * publisher's connection and kept as metrics: order_queue_messages, order_queue_consumers,
 * dead_letter_queue_messages; NaN while nobody knows. The publisher's thread only. A NULL
 * `watch` watches nothing. */
#ifndef CLIENTS_RABBITMQ_QUEUE_WATCH_H
#define CLIENTS_RABBITMQ_QUEUE_WATCH_H

#include "services/clients/rabbitmq/publish_channel.h"

struct queue_watch;

/* `queue` must outlive it. Registers the metrics. */
struct queue_watch *queue_watch_new(const char *queue);
void queue_watch_free(struct queue_watch *watch);

/* Ask if it is time. Returns -1 with `err` set when the connection is lost. */
int queue_watch_ask(struct queue_watch *watch, struct publish_channel *channel, int64_t now_ms,
                    struct error *err) __attribute__((warn_unused_result));

/* A PUBLISH_EVENT_QUEUE. */
void queue_watch_take(struct queue_watch *watch, const struct publish_event *event);

/* The connection is down or blocked. */
void queue_watch_forget(struct queue_watch *watch);

#endif
