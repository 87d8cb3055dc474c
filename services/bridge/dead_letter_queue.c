/* Each dead letter under way is a `struct sending`, which the publisher's thread only reads and
 * then puts on the list of results; everything else about it happens on the loop's thread. */
#include "services/bridge/dead_letter_queue.h"
#include "proto/timestamp.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/bridge/dead_letter.h"
#include "services/runtime/health.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WINDOW 64
#define DEADLINE_MS 10000

struct sending {
    struct publish_request request; /* first: a pointer to one is a pointer to the other */
    struct dead_letter letter;
    struct message *message;
    struct dead_letter_queue *queue;
    uint64_t epoch, delivery_tag;
    bool confirmed;
    struct sending *next;
};

struct dead_letter_queue {
    struct dead_letter_queue_options options;
    char name[QUEUE_NAME_SIZE];
    struct publisher *publisher;
    struct health_check *health;
    int results_fd; /* eventfd: `results` is not empty */
    struct loop_watch *watch;
    pthread_mutex_t lock; /* of `results` */
    struct sending *results;
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct dead_letter_queue *queue = arg;
    if (!health_set(queue->health, up, up ? NULL : reason))
        return;
    if (up)
        log_info("dead-letter queue reached", log_text("queue", queue->name));
    else
        log_warn("dead-letter queue lost", log_text("reason", reason));
}

/* On the publisher's thread. */
static void on_published(struct publish_request *request, enum publish_result result)
{
    struct sending *sending = (struct sending *)request;
    struct dead_letter_queue *queue = sending->queue;
    sending->confirmed = result == PUBLISH_CONFIRMED;
    pthread_mutex_lock(&queue->lock);
    sending->next = queue->results;
    queue->results = sending;
    pthread_mutex_unlock(&queue->lock);
    uint64_t one = 1;
    ssize_t written = write(queue->results_fd, &one, sizeof one);
    (void)written; /* fails only when the counter is full: then the loop is awake */
}

static void sending_free(struct sending *sending)
{
    dead_letter_release(&sending->letter);
    message_unref(sending->message);
    free(sending);
}

static struct sending *take_results(struct dead_letter_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct sending *results = queue->results;
    queue->results = NULL;
    pthread_mutex_unlock(&queue->lock);
    return results;
}

static void on_results(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct dead_letter_queue *queue = arg;
    uint64_t count;
    ssize_t got = read(queue->results_fd, &count, sizeof count);
    (void)got; /* nobody else reads it */
    struct sending *sending = take_results(queue);
    while (sending != NULL) {
        struct sending *next = sending->next;
        queue->options.on_result(queue->options.arg, sending->epoch, sending->delivery_tag,
                                 sending->confirmed);
        sending_free(sending);
        sending = next;
    }
    queue->options.on_turn(queue->options.arg);
}

int dead_letter_queue_publish(struct dead_letter_queue *queue, struct message *message,
                              const struct dead_letter_report *report, int64_t now_ms)
{
    if (!publisher_accepts(queue->publisher)) /* saves the work below while it is down */
        return -1;
    struct sending *sending = memory_new(sizeof *sending);
    dead_letter_init(&sending->letter, message, report, now_ms, timestamp_now_us());
    sending->message = message_ref(message);
    sending->queue = queue;
    sending->epoch = report->epoch;
    sending->delivery_tag = report->delivery_tag;
    sending->request = (struct publish_request){
        .routing_key = queue->name,
        .body = message->body,
        .body_len = message->body_len,
        .content_type = sending->letter.content_type,
        .message_id = sending->letter.message_id,
        .headers = &sending->letter.headers,
        .deadline_ms = now_ms + DEADLINE_MS,
        .on_result = on_published,
    };
    if (publisher_submit(queue->publisher, &sending->request, 1) == 0)
        return 0;
    sending_free(sending);
    return -1;
}

struct dead_letter_queue *dead_letter_queue_new(struct event_loop *loop,
                                                const struct dead_letter_queue_options *options)
{
    struct dead_letter_queue *queue = memory_new(sizeof *queue);
    queue->options = *options;
    dead_letter_queue_name(options->queue, queue->name);
    queue->health = health_check("dead_letter_queue", HEALTH_DEGRADED);
    queue->results_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->results_fd < 0)
        abort();
    pthread_mutex_init(&queue->lock, NULL);
    queue->watch = event_loop_watch(loop, queue->results_fd, on_results, queue);
    loop_watch_want(queue->watch, true, false);
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
    publisher_hold(queue->publisher, !reachable);
}

void dead_letter_queue_free(struct dead_letter_queue *queue, int64_t drain_ms)
{
    if (queue == NULL)
        return;
    publisher_free(queue->publisher, drain_ms); /* answers all that is left */
    struct sending *sending = take_results(queue);
    while (sending != NULL) {
        struct sending *next = sending->next;
        sending_free(sending);
        sending = next;
    }
    loop_watch_free(queue->watch);
    close(queue->results_fd);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
