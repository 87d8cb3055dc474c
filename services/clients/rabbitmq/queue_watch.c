/* Keeps the counts of the queues as metrics. */
#include "services/clients/rabbitmq/queue_watch.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include <math.h>
#include <string.h>

void queue_watch_init(struct queue_watch *watch, const char *queue)
{
    char label[QUEUE_LABEL_SIZE];
    queue_label(queue, label);
    watch->messages = metric_gauge("order_queue_messages", label,
                                   "Messages in the order queue that wait for a bridge");
    watch->consumers =
        metric_gauge("order_queue_consumers", label, "Bridges that consume the order queue");
    watch->dead_messages =
        metric_gauge("dead_letter_queue_messages", label, "Messages in the dead-letter queue");
    queue_watch_forget(watch);
}

void queue_watch_take(const struct queue_watch *watch, const char *queue,
                      const amqp_queue_declare_ok_t *counts)
{
    if (counts->queue.len > strlen(queue)) { /* ".dead" comes on top */
        metric_set(watch->dead_messages, counts->message_count);
    } else {
        metric_set(watch->messages, counts->message_count);
        metric_set(watch->consumers, counts->consumer_count);
    }
}

void queue_watch_forget(const struct queue_watch *watch)
{
    if (watch->messages == NULL)
        return;
    metric_set(watch->messages, NAN);
    metric_set(watch->consumers, NAN);
    metric_set(watch->dead_messages, NAN);
}
