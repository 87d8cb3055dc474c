/* The publisher's thread runs an event loop with one supervised connection (link.h). Requests come
 * in through a mailbox (`inbox`), wait in the order in which they came (`waiting`), and are in the
 * confirm window while the broker has them. A lost connection puts the window's requests back to
 * the front of `waiting`, as sent; only such requests wait while the connection is down or blocked:
 * a request that was never sent is refused at once.
 *
 * The thread publishes only while the socket is writable, for sending blocks. Many messages leave
 * in one write (publish_batch.h). */
#include "services/clients/rabbitmq/publisher.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/confirm_window.h"
#include "services/clients/rabbitmq/link.h"
#include "services/clients/rabbitmq/publish_batch.h"
#include "services/clients/rabbitmq/publish_mailbox.h"
#include "services/clients/rabbitmq/publish_message.h"
#include "services/clients/rabbitmq/queue_watch.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SWEEP_MS 50       /* between two looks for passed deadlines, while anything is unanswered */
#define SENT_PER_TURN 128 /* then confirms are read again */
/* A channel that a full quorum queue has once refused goes on refusing when the limit is taken away
 * (RabbitMQ issue 12206): only another one finds out. */
#define REFUSING_LIMIT_MS 5000

struct publisher_metrics {
    struct metric_counter *published, *confirmed, *nacked, *returned, *republished, *unknown,
        *connects;
    struct metric_histogram *confirm_seconds;
    struct metric_gauge *outstanding;
};

STAILQ_HEAD(request_list, publish_request);

struct publisher {
    struct publisher_options options;
    struct publisher_metrics metrics;
    struct publish_mailbox *inbox;
    pthread_t thread;
    int64_t drain_until_ms; /* written before `stopping` */
    atomic_bool stopping, held;
    atomic_bool open;       /* connected and not blocked */
    atomic_uint unanswered; /* submitted, wherever they are now */

    /* The thread's own, while it runs. */
    struct event_loop *loop;
    struct broker_link *link;
    struct loop_timer *sweep;    /* runs while anything is unanswered */
    struct loop_timer *refusing; /* runs since the first nack without an ack after it */
    struct request_list waiting;
    struct publish_batch batch; /* empty but while sending */
    struct confirm_window window;
    struct returned_message returned;
    struct queue_watch queues;
};

/* Last of all: the request may be gone afterwards. */
static void answer(struct publisher *publisher, struct publish_request *request,
                   enum publish_result result)
{
    if (result == PUBLISH_UNKNOWN)
        metric_add(publisher->metrics.unknown, 1);
    atomic_fetch_sub(&publisher->unanswered, 1);
    request->on_result(request, result);
}

static void answer_unconfirmed(struct publisher *publisher, struct publish_request *request)
{
    answer(publisher, request, request->sent ? PUBLISH_UNKNOWN : PUBLISH_REFUSED);
}

/* Answer those of `waiting` that have passed their deadline and, while the publisher is not open,
 * those that were never sent. */
static void sweep_waiting(struct publisher *publisher, int64_t now_ms)
{
    struct request_list all = STAILQ_HEAD_INITIALIZER(all);
    STAILQ_CONCAT(&all, &publisher->waiting);
    while (!STAILQ_EMPTY(&all)) {
        struct publish_request *request = STAILQ_FIRST(&all);
        STAILQ_REMOVE_HEAD(&all, waiting);
        if (request->deadline_ms <= now_ms || (!publisher->open && !request->sent))
            answer_unconfirmed(publisher, request);
        else
            STAILQ_INSERT_TAIL(&publisher->waiting, request, waiting);
    }
}

/* A request has come out of the inbox. */
static void on_request(void *arg, struct publish_request *request, enum publish_result result)
{
    (void)result;
    struct publisher *publisher = arg;
    if (publisher->open)
        STAILQ_INSERT_TAIL(&publisher->waiting, request, waiting);
    else
        answer_unconfirmed(publisher, request);
}

/* The only place where `open` changes. */
static void set_open(struct publisher *publisher, bool open, const char *reason)
{
    atomic_store(&publisher->open, open);
    if (!open) {
        queue_watch_forget(&publisher->queues);
        publish_mailbox_collect(publisher->inbox);
        sweep_waiting(publisher, clock_monotonic_ms());
    }
    publisher->options.on_state(publisher->options.arg, open, reason);
}

/* Take the window's requests back, in their order, before all that wait. */
static void recover_window(struct publisher *publisher)
{
    struct confirm_window *window = &publisher->window;
    struct request_list recovered = STAILQ_HEAD_INITIALIZER(recovered);
    struct sent_message message;
    for (uint64_t tag = window->first; tag < window->next; tag++) {
        if (!confirm_window_expire(window, tag, &message))
            continue;
        /* One that was returned is certainly not in the queue. */
        message.request->sent = message.again || !message.returned;
        STAILQ_INSERT_TAIL(&recovered, message.request, waiting);
    }
    STAILQ_CONCAT(&recovered, &publisher->waiting);
    STAILQ_CONCAT(&publisher->waiting, &recovered);
}

/* The link */

static void on_up(void *arg, const char *warning)
{
    struct publisher *publisher = arg;
    confirm_window_reset(&publisher->window);
    publisher->returned.state = RETURN_NONE;
    loop_timer_stop(publisher->refusing);
    metric_add(publisher->metrics.connects, 1);
    set_open(publisher, true, warning);
}

static void on_down(void *arg, const char *reason)
{
    struct publisher *publisher = arg;
    recover_window(publisher);
    set_open(publisher, false, reason);
}

static void on_blocked(void *arg, const char *reason)
{
    set_open(arg, reason == NULL, reason);
}

static void on_counts(void *arg, const amqp_queue_declare_ok_t *counts)
{
    const struct publisher *publisher = arg;
    queue_watch_take(&publisher->queues, publisher->options.queue, counts);
}

static void on_refusing(void *arg)
{
    const struct publisher *publisher = arg;
    broker_link_drop(publisher->link, "the broker refuses every message", BROKER_LINK_POLICY);
}

/* This sending is not in the queue, or nobody knows; an earlier one may be. */
static enum publish_result failed_result(const struct sent_message *message, bool refused)
{
    return refused && !message->again ? PUBLISH_REFUSED : PUBLISH_UNKNOWN;
}

static void settle_one(struct publisher *publisher, uint64_t tag, bool acked, int64_t now_us)
{
    struct sent_message message;
    if (!confirm_window_settle(&publisher->window, tag, &message))
        return; /* its deadline had passed */
    metric_add(acked ? publisher->metrics.confirmed : publisher->metrics.nacked, 1);
    if (acked)
        loop_timer_stop(publisher->refusing);
    else if (!loop_timer_running(publisher->refusing))
        loop_timer_start(publisher->refusing, REFUSING_LIMIT_MS);
    metric_observe(publisher->metrics.confirm_seconds, (double)(now_us - message.sent_us) * 1e-6);
    answer(publisher, message.request,
           acked && !message.returned ? PUBLISH_CONFIRMED : failed_result(&message, true));
}

/* Returns false when the broker settles what it was not sent. */
static bool settle(struct publisher *publisher, uint64_t tag, bool multiple, bool acked)
{
    struct confirm_window *window = &publisher->window;
    uint64_t last = tag == 0 && multiple ? window->next - 1 : tag; /* 0: all */
    if (last == 0 || last >= window->next)
        return false;
    int64_t now_us = clock_monotonic_us();
    for (uint64_t each = multiple ? window->first : last; each <= last; each++)
        settle_one(publisher, each, acked, now_us);
    return true;
}

static int take_returned(struct publisher *publisher, const amqp_frame_t *frame, struct error *err)
{
    const struct returned_message *returned = &publisher->returned;
    char dead[QUEUE_NAME_SIZE];
    bool complete;
    dead_letter_queue_name(publisher->options.queue, dead);
    if (returned_message_add(&publisher->returned, frame, &complete, err) != 0)
        return -1;
    if (!complete)
        return 0;
    metric_add(publisher->metrics.returned, 1);
    confirm_window_mark_returned(&publisher->window, returned->message_id, returned->message_id_len,
                                 returned->routing_key, returned->routing_key_len);
    if (returned_message_is_for(returned, publisher->options.queue) ||
        returned_message_is_for(returned, dead)) /* connecting declares both again */
        broker_link_drop(publisher->link, "the queue is gone", QUEUE_GONE_PAUSE_MS);
    return 0;
}

static int on_frame(void *arg, const amqp_frame_t *frame, struct error *err)
{
    struct publisher *publisher = arg;
    const amqp_method_t *method = &frame->payload.method;
    bool settled;
    if (frame->frame_type == AMQP_FRAME_METHOD && method->id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *ack = method->decoded;
        settled = settle(publisher, ack->delivery_tag, ack->multiple, true);
    } else if (frame->frame_type == AMQP_FRAME_METHOD && method->id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *nack = method->decoded;
        settled = settle(publisher, nack->delivery_tag, nack->multiple, false);
    } else {
        return take_returned(publisher, frame, err);
    }
    if (settled)
        return 0;
    error_set(err, "the broker confirmed what it was not sent");
    return -1;
}

/* Sending */

static bool can_send(const struct publisher *publisher)
{
    return publisher->open && !STAILQ_EMPTY(&publisher->waiting) &&
           !confirm_window_full(&publisher->window);
}

/* Over TLS librabbitmq sends each message in three pieces; corked, many messages share a packet. */
static void set_cork(const struct broker_connection *connection, int corked)
{
    if (connection->tls)
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_CORK, &corked, sizeof corked);
}

/* Returns whether the connection is still there. */
static bool sent(struct publisher *publisher, int status)
{
    struct error err; /* the messages may have been sent */
    if (status == AMQP_STATUS_OK)
        return true;
    error_set(&err, "cannot publish: %s", amqp_error_string2(status));
    publisher->batch.len = 0;
    broker_link_drop(publisher->link, err.message, BROKER_LINK_POLICY);
    return false;
}

/* The first that waits goes into the batch, or out alone when it is none for a batch. A full batch
 * is written first. Returns whether the connection is still there. */
static bool send_first(struct publisher *publisher, int64_t now_us)
{
    struct publish_request *request = STAILQ_FIRST(&publisher->waiting);
    struct broker_connection *connection = broker_link_connection(publisher->link);
    if (request->deadline_ms <= now_us / 1000) {
        STAILQ_REMOVE_HEAD(&publisher->waiting, waiting);
        answer_unconfirmed(publisher, request);
        return true;
    }
    bool added = publish_batch_add(&publisher->batch, connection, request);
    if (!added && publisher->batch.len > 0)
        return sent(publisher, publish_batch_write(&publisher->batch, connection));
    STAILQ_REMOVE_HEAD(&publisher->waiting, waiting);
    metric_add(request->sent ? publisher->metrics.republished : publisher->metrics.published, 1);
    confirm_window_add(&publisher->window, request, now_us);
    return added || sent(publisher, publish_message(connection->amqp, request));
}

static void send_waiting(struct publisher *publisher)
{
    if (!can_send(publisher))
        return;
    int64_t now_us = clock_monotonic_us();
    const struct broker_connection *connection = broker_link_connection(publisher->link);
    unsigned count = 0;
    set_cork(connection, 1);
    for (; count < SENT_PER_TURN && can_send(publisher) &&
           (publisher->batch.len > 0 || broker_link_writable(publisher->link));
         count++)
        if (!send_first(publisher, now_us))
            return;
    if (!sent(publisher, publish_batch_write(&publisher->batch, connection)))
        return;
    set_cork(connection, 0);
    if (count == SENT_PER_TURN)
        broker_link_turn_again(publisher->link);
}

/* Act on all that is new. */
static void turn(void *arg)
{
    struct publisher *publisher = arg;
    send_waiting(publisher);
    unsigned unanswered = atomic_load(&publisher->unanswered);
    metric_set(publisher->metrics.outstanding, unanswered);
    if (unanswered > 0 && !loop_timer_running(publisher->sweep))
        loop_timer_start(publisher->sweep, SWEEP_MS);
    if (atomic_load(&publisher->stopping) &&
        (unanswered == 0 || clock_monotonic_ms() >= publisher->drain_until_ms))
        event_loop_stop(publisher->loop);
}

/* The inbox has woken the thread. */
static void on_inbox_turn(void *arg)
{
    struct publisher *publisher = arg;
    broker_link_hold(publisher->link, atomic_load(&publisher->held));
    turn(publisher);
}

/* Answer every request that has passed its deadline. Looking at all requests a few times a second
 * costs less than keeping them in order. */
static void on_sweep(void *arg)
{
    struct publisher *publisher = arg;
    int64_t now_ms = clock_monotonic_ms();
    sweep_waiting(publisher, now_ms);
    struct sent_message message;
    for (uint64_t tag = publisher->window.first; tag < publisher->window.next; tag++) {
        const struct sent_message *sent = confirm_window_peek(&publisher->window, tag);
        if (sent && sent->request->deadline_ms <= now_ms &&
            confirm_window_expire(&publisher->window, tag, &message))
            answer(publisher, message.request, failed_result(&message, message.returned));
    }
    turn(publisher);
}

static void *publisher_run(void *arg)
{
    struct publisher *publisher = arg;
    broker_link_hold(publisher->link, atomic_load(&publisher->held));
    event_loop_run(publisher->loop);
    publish_mailbox_collect(publisher->inbox);
    recover_window(publisher);
    atomic_store(&publisher->open, false);
    sweep_waiting(publisher, INT64_MAX); /* answers all */
    return NULL;
}

/* ---- any thread ---- */

static struct publisher_metrics register_metrics(void)
{
    return (struct publisher_metrics){
        .published = metric_counter("publisher_published_total", NULL,
                                    "Messages sent to the broker for the first time"),
        .republished = metric_counter("publisher_republished_total", NULL,
                                      "Messages sent again after a lost connection"),
        .confirmed =
            metric_counter("publisher_confirmed_total", NULL, "Messages the broker acknowledged"),
        .nacked = metric_counter("publisher_nacked_total", NULL, "Messages the broker refused"),
        .returned =
            metric_counter("publisher_returned_total", NULL, "Messages without a queue to go to"),
        .unknown = metric_counter("publisher_unknown_total", NULL,
                                  "Messages without a confirm until their deadline"),
        .connects =
            metric_counter("publisher_connects_total", NULL, "Connections made to the broker"),
        .confirm_seconds =
            metric_histogram("publisher_confirm_seconds", NULL,
                             "From sending a message to its confirm", METRIC_SECONDS),
        .outstanding =
            metric_gauge("publisher_outstanding", NULL, "Messages taken and not answered"),
    };
}

bool publisher_accepts(const struct publisher *publisher)
{
    return atomic_load(&publisher->open) && !atomic_load(&publisher->stopping) &&
           atomic_load(&publisher->unanswered) < publisher->options.window;
}

int publisher_submit(struct publisher *publisher, struct publish_request *request)
{
    if (!publisher_accepts(publisher))
        return -1;
    if (atomic_fetch_add(&publisher->unanswered, 1) >= publisher->options.window) {
        atomic_fetch_sub(&publisher->unanswered, 1);
        return -1;
    }
    request->sent = false;
    publish_mailbox_put(publisher->inbox, request);
    return 0;
}

void publisher_wake(struct publisher *publisher)
{
    publish_mailbox_wake(publisher->inbox);
}

void publisher_hold(struct publisher *publisher, bool held)
{
    atomic_store(&publisher->held, held);
    publish_mailbox_wake(publisher->inbox);
}

struct publisher *publisher_new(const struct publisher_options *options)
{
    struct publisher *publisher = memory_new(sizeof *publisher);
    publisher->options = *options;
    publisher->metrics = register_metrics();
    metric_set(metric_gauge("publisher_window", NULL, "Messages taken and not answered at most"),
               options->window);
    if (options->watches_queues)
        queue_watch_init(&publisher->queues, options->queue);
    atomic_store(&publisher->held, options->held);
    STAILQ_INIT(&publisher->waiting);
    /* Twice the window: one slow confirm does not stop those behind it at once. */
    confirm_window_init(&publisher->window, 2 * (size_t)options->window);

    struct event_loop *loop = publisher->loop = event_loop_new();
    publisher->inbox = publish_mailbox_new(
        loop, &(struct publish_receiver){
                  .on_result = on_request, .on_turn = on_inbox_turn, .arg = publisher});
    publisher->sweep = event_loop_timer(loop, on_sweep, publisher);
    publisher->refusing = event_loop_timer(loop, on_refusing, publisher);
    publisher->link = broker_link_new(loop, &(struct broker_link_options){
                                                .broker = options->broker,
                                                .queue = options->queue,
                                                .queue_type = options->queue_type,
                                                .confirms = true,
                                                .ask_queues = options->watches_queues ? 2 : 0,
                                                .on_up = on_up,
                                                .on_down = on_down,
                                                .on_blocked = on_blocked,
                                                .on_counts = on_counts,
                                                .on_frame = on_frame,
                                                .on_turn = turn,
                                                .arg = publisher,
                                            });
    if (pthread_create(&publisher->thread, NULL, publisher_run, publisher) != 0)
        abort();
    return publisher;
}

void publisher_free(struct publisher *publisher, int64_t drain_ms)
{
    if (!publisher)
        return;
    publisher->drain_until_ms = clock_monotonic_ms() + drain_ms;
    atomic_store(&publisher->stopping, true);
    publish_mailbox_wake(publisher->inbox);
    pthread_join(publisher->thread, NULL);
    broker_link_free(publisher->link);
    loop_timer_free(publisher->sweep);
    loop_timer_free(publisher->refusing);
    publish_mailbox_free(publisher->inbox);
    event_loop_free(publisher->loop);
    confirm_window_release(&publisher->window);
    free(publisher);
}
