/* Keeps the counts of the queues as metrics. */
#include "services/clients/rabbitmq/queue_watch.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct queue_watch {
    const char *queue;
    char dead[QUEUE_NAME_SIZE];
    struct metric_gauge *messages, *consumers, *dead_messages;
};

struct queue_watch *queue_watch_new(const char *queue)
{
    struct queue_watch *watch = memory_new(sizeof *watch);
    watch->queue = queue;
    dead_letter_queue_name(queue, watch->dead);
    watch->messages = metric_gauge("order_queue_messages", NULL,
                                   "Messages in the order queue that wait for a bridge");
    watch->consumers =
        metric_gauge("order_queue_consumers", NULL, "Bridges that consume the order queue");
    watch->dead_messages =
        metric_gauge("dead_letter_queue_messages", NULL, "Messages in the dead-letter queue");
    queue_watch_forget(watch);
    return watch;
}

void queue_watch_free(struct queue_watch *watch)
{
    free(watch);
}

static bool is_named(amqp_bytes_t name, const char *queue)
{
    return name.len == strlen(queue) && memcmp(name.bytes, queue, name.len) == 0;
}

void queue_watch_take(struct queue_watch *watch, const amqp_queue_declare_ok_t *counts)
{
    if (watch == NULL)
        return;
    if (is_named(counts->queue, watch->queue)) {
        metric_set(watch->messages, counts->message_count);
        metric_set(watch->consumers, counts->consumer_count);
    } else if (is_named(counts->queue, watch->dead)) {
        metric_set(watch->dead_messages, counts->message_count);
    }
}

void queue_watch_forget(struct queue_watch *watch)
{
    if (watch == NULL)
        return;
    metric_set(watch->messages, NAN);
    metric_set(watch->consumers, NAN);
    metric_set(watch->dead_messages, NAN);
}
