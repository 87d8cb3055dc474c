/* The publisher answers on its own thread. An answer is pushed onto its loop's stack, and only the
 * first one on an empty stack wakes the loop, which then delivers all that have gathered. */
#include "services/gateway/adapters/rabbitmq_queue.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/publisher.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct rabbitmq_queue {
    struct order_queue port;
    struct publisher *publisher;
    const char *queue_name;
    int outbox_wake_fd;
    int answered_fd;
    struct loop_watch *watch;
    _Atomic(struct publication *) answered; /* newest first */
};

struct publication {
    struct publish_request request; /* the first member: the publisher gives it back */
    struct rabbitmq_queue *queue;
    struct publication *next_answered;
    enum publish_result result;
    order_queue_done_fn *on_done;
    void *arg;
    char message_id[ORDER_ID_TEXT_LEN + 1];
    char json[];
};

static void signal_eventfd(int fd)
{
    uint64_t one = 1;
    /* Fails only when the counter is full: then its reader is about to wake. */
    ssize_t written = write(fd, &one, sizeof one);
    (void)written;
}

/* On the publisher's thread. */
static void on_result(struct publish_request *request, enum publish_result result)
{
    struct publication *publication = (struct publication *)request;
    struct rabbitmq_queue *queue = publication->queue;
    publication->result = result;
    struct publication *head = atomic_load(&queue->answered);
    do {
        publication->next_answered = head;
    } while (!atomic_compare_exchange_weak(&queue->answered, &head, publication));
    if (!head)
        signal_eventfd(queue->answered_fd);
}

/* All answers so far, oldest first. */
static struct publication *take_answered(struct rabbitmq_queue *queue)
{
    struct publication *newest_first = atomic_exchange(&queue->answered, NULL);
    struct publication *oldest_first = NULL;
    while (newest_first) {
        struct publication *next = newest_first->next_answered;
        newest_first->next_answered = oldest_first;
        oldest_first = newest_first;
        newest_first = next;
    }
    return oldest_first;
}

static enum order_queue_result port_result(enum publish_result result)
{
    switch (result) {
    case PUBLISH_CONFIRMED:
        return ORDER_QUEUE_CONFIRMED;
    case PUBLISH_REFUSED:
        return ORDER_QUEUE_REFUSED;
    case PUBLISH_UNKNOWN:
        break;
    }
    return ORDER_QUEUE_UNKNOWN;
}

/* On the loop. */
static void deliver(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct rabbitmq_queue *queue = arg;
    uint64_t count;
    ssize_t taken = read(queue->answered_fd, &count, sizeof count);
    (void)taken; /* before the stack is emptied: a later answer signals again */
    for (struct publication *publication = take_answered(queue); publication;) {
        struct publication *next = publication->next_answered;
        publication->on_done(publication->arg, port_result(publication->result));
        free(publication);
        publication = next;
    }
}

static int publish(void *self, const struct order_id *id, const char *json, size_t json_len,
                   int64_t deadline_ms, order_queue_done_fn *on_done, void *arg)
{
    struct rabbitmq_queue *queue = self;
    if (!publisher_accepts(queue->publisher))
        return -1;
    struct publication *publication = memory_new(sizeof *publication + json_len);
    publication->queue = queue;
    publication->on_done = on_done;
    publication->arg = arg;
    order_id_format(id, publication->message_id);
    memcpy(publication->json, json, json_len);
    publication->request = (struct publish_request){
        .routing_key = queue->queue_name,
        .body = publication->json,
        .body_len = json_len,
        .content_type = "application/json",
        .message_id = publication->message_id,
        .deadline_ms = deadline_ms,
        .on_result = on_result,
    };
    if (publisher_submit(queue->publisher, &publication->request, 1) == 0)
        return 0;
    free(publication);
    return -1;
}

static bool accepts(void *self)
{
    const struct rabbitmq_queue *queue = self;
    return publisher_accepts(queue->publisher);
}

static void wake_outbox(void *self)
{
    const struct rabbitmq_queue *queue = self;
    signal_eventfd(queue->outbox_wake_fd);
}

struct order_queue *rabbitmq_queue_new(struct event_loop *events, struct publisher *publisher,
                                       const char *queue_name, int outbox_wake_fd)
{
    struct rabbitmq_queue *queue = memory_new(sizeof *queue);
    queue->port = (struct order_queue){
        .self = queue, .publish = publish, .accepts = accepts, .wake_outbox = wake_outbox};
    queue->publisher = publisher;
    queue->queue_name = queue_name;
    queue->outbox_wake_fd = outbox_wake_fd;
    queue->answered_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->answered_fd < 0)
        abort();
    queue->watch = event_loop_watch(events, queue->answered_fd, deliver, queue);
    loop_watch_want(queue->watch, true, false);
    return &queue->port;
}

void rabbitmq_queue_free(struct order_queue *port)
{
    if (!port)
        return;
    struct rabbitmq_queue *queue = port->self;
    for (struct publication *publication = take_answered(queue); publication;) {
        struct publication *next = publication->next_answered;
        free(publication);
        publication = next;
    }
    loop_watch_free(queue->watch);
    close(queue->answered_fd);
    free(queue);
}
