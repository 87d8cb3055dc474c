/* order_queue on RabbitMQ: one instance for each loop, all on the process's one publisher. */
#ifndef GATEWAY_ADAPTERS_RABBITMQ_QUEUE_H
#define GATEWAY_ADAPTERS_RABBITMQ_QUEUE_H

#include "services/gateway/ports/order_queue.h"
#include "services/loop/event_loop.h"

struct publisher;

/* `queue_name` is the routing key. All stay the caller's. */
struct order_queue *rabbitmq_queue_new(struct event_loop *events, struct publisher *publisher,
                                       const char *queue_name);

/* Send what was published in this turn of the loop; before the loop waits for the next one. */
void rabbitmq_queue_flush(struct order_queue *queue);

/* After the publisher was freed, which answers all that is under way; what the loop has not
 * delivered by then is dropped. */
void rabbitmq_queue_free(struct order_queue *queue);

#endif
