#include "services/clients/rabbitmq/queue_watch.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MS 2000

struct queue_watch {
    const char *queue;
    char dead[QUEUE_NAME_SIZE];
    int64_t ask_at_ms;
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

int queue_watch_ask(struct queue_watch *watch, struct publish_channel *channel, int64_t now_ms,
                    struct error *err)
{
    if (watch == NULL || now_ms < watch->ask_at_ms)
        return 0;
    watch->ask_at_ms = now_ms + INTERVAL_MS;
    if (queue_ask(&channel->connection, watch->queue, err) != 0)
        return -1;
    return queue_ask(&channel->connection, watch->dead, err);
}

static bool is_about(const struct publish_event *event, const char *queue)
{
    return event->routing_key_len == strlen(queue) &&
           memcmp(event->routing_key, queue, event->routing_key_len) == 0;
}

void queue_watch_take(struct queue_watch *watch, const struct publish_event *event)
{
    if (watch == NULL)
        return;
    if (is_about(event, watch->queue)) {
        metric_set(watch->messages, event->messages);
        metric_set(watch->consumers, event->consumers);
    } else if (is_about(event, watch->dead)) {
        metric_set(watch->dead_messages, event->messages);
    }
}

void queue_watch_forget(struct queue_watch *watch)
{
    if (watch == NULL)
        return;
    watch->ask_at_ms = 0;
    metric_set(watch->messages, NAN);
    metric_set(watch->consumers, NAN);
    metric_set(watch->dead_messages, NAN);
}
