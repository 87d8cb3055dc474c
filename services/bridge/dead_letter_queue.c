/* Publishes dead letters. Each one under way is a `struct sending`, which the publisher's thread
 * only reads; its result comes back to the loop through a mailbox. */
#include "services/bridge/dead_letter_queue.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/bridge/dead_letter.h"
#include "services/clients/rabbitmq/publish_mailbox.h"
#include "services/runtime/health.h"
#include <stdlib.h>

#define WINDOW 64
#define DEADLINE_MS 10000

struct sending {
    struct publish_request request; /* first: a pointer to one is a pointer to the other */
    struct dead_letter letter;
    struct content *content;
    uint64_t epoch, delivery_tag;
};

struct dead_letter_queue {
    struct dead_letter_queue_options options;
    char name[QUEUE_NAME_SIZE];
    struct publisher *publisher;
    struct health_check *health;
    bool tried; /* to connect; until then it is held */
    struct publish_mailbox *mailbox;
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct dead_letter_queue *queue = arg;
    if (!health_set(queue->health, up, up ? NULL : reason))
        return;
    if (up)
        log_info("dead-letter queue reached", log_text("queue", queue->name));
    else
        log_warn("no connection to the dead-letter queue", log_text("reason", reason));
}

static void sending_free(struct publish_request *request)
{
    struct sending *sending = (struct sending *)request;
    dead_letter_release(&sending->letter);
    content_unref(sending->content);
    free(sending);
}

static void on_result(void *arg, struct publish_request *request, enum publish_result result)
{
    const struct dead_letter_queue *queue = arg;
    const struct sending *sending = (const struct sending *)request;
    flow_dead_letter_result(queue->options.flow, sending->epoch, sending->delivery_tag,
                            result == PUBLISH_CONFIRMED, clock_monotonic_ms());
    sending_free(request);
}

static void on_turn(void *arg)
{
    const struct dead_letter_queue *queue = arg;
    queue->options.on_turn(queue->options.arg);
}

int dead_letter_queue_publish(struct dead_letter_queue *queue, struct content *content,
                              const struct dead_letter_report *report, int64_t now_ms)
{
    if (!publisher_accepts(queue->publisher)) /* saves the work below while it is down */
        return -1;
    struct sending *sending = memory_new(sizeof *sending);
    dead_letter_init(&sending->letter, content, report, now_ms, timestamp_now_us());
    sending->content = content_ref(content);
    sending->epoch = report->epoch;
    sending->delivery_tag = report->delivery_tag;
    sending->request = (struct publish_request){
        .routing_key = queue->name,
        .body = content->body,
        .body_len = content->body_len,
        .content_type = sending->letter.content_type,
        .message_id = sending->letter.message_id,
        .headers = &sending->letter.headers,
        .deadline_ms = now_ms + DEADLINE_MS,
        .on_result = publish_mailbox_post,
        .mailbox = queue->mailbox,
    };
    if (publisher_submit(queue->publisher, &sending->request) == 0) {
        publisher_wake(queue->publisher);
        return 0;
    }
    sending_free(&sending->request);
    return -1;
}

struct dead_letter_queue *dead_letter_queue_new(struct event_loop *loop,
                                                const struct dead_letter_queue_options *options)
{
    struct dead_letter_queue *queue = memory_new(sizeof *queue);
    queue->options = *options;
    dead_letter_queue_name(options->queue, queue->name);
    queue->health = health_check("dead_letter_queue", HEALTH_DEGRADED);
    queue->mailbox = publish_mailbox_new(loop, &(struct publish_receiver){.on_result = on_result,
                                                                          .on_turn = on_turn,
                                                                          .discard = sending_free,
                                                                          .arg = queue});
    queue->publisher = publisher_new(&(struct publisher_options){
        .broker = options->broker,
        .queue = options->queue,
        .queue_type = options->queue_type,
        .window = WINDOW,
        .watches_queues = true,
        .held = true,
        .on_state = on_state,
        .arg = queue,
    });
    return queue;
}

void dead_letter_queue_set_reachable(struct dead_letter_queue *queue, bool reachable)
{
    if (!reachable && !queue->tried)
        on_state(queue, false, "not tried before the order queue can be consumed");
    queue->tried |= reachable;
    publisher_hold(queue->publisher, !reachable);
}

void dead_letter_queue_free(struct dead_letter_queue *queue, int64_t drain_ms)
{
    if (queue == NULL)
        return;
    publisher_free(queue->publisher, drain_ms); /* answers all that is left */
    publish_mailbox_free(queue->mailbox);
    free(queue);
}
