/* The publisher's thread. Requests come in through a list under a mutex (`inbox`), wait in the
 * order in which they came (`waiting`), and are in the confirm window while the broker has them. A
 * lost connection puts the window's requests back to the front of `waiting`, as sent; only those
 * wait while the connection is down or blocked, for whatever was never sent is refused at once.
 *
 * The thread sleeps in one poll() over the eventfd of new work and the connection's socket, never
 * inside librabbitmq: it publishes only while the socket is writable, and connecting happens on a
 * thread of its own (connection_attempt.h), so that deadlines are kept meanwhile. */
#include "services/clients/rabbitmq/publisher.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/confirm_window.h"
#include "services/clients/rabbitmq/connection_attempt.h"
#include "services/clients/rabbitmq/publish_channel.h"
#include "services/clients/rabbitmq/publish_inbox.h"
#include "services/clients/rabbitmq/queue_watch.h"
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SWEEP_MS 50    /* between two looks for passed deadlines, while anything is unanswered */
#define SEND_BATCH 128 /* then read confirms again */
#define STABLE_MS 5000 /* a connection that lived this long was a good one: retry at once */
#define RETRY_SOON_MS 100
/* A channel that a full quorum queue has once refused goes on refusing when the limit is taken away
 * (RabbitMQ issue 12206): only another one finds out. */
#define REFUSING_LIMIT_MS 5000

/* On average less than one attempt a second, and never more than 1.8 s from an open port to an
 * attempt. */
static const struct backoff reconnect_backoff = {.base_ms = 1000, .cap_ms = 1800};

enum publisher_state {
    PUBLISHER_DOWN,       /* until retry_ms */
    PUBLISHER_CONNECTING, /* `attempt` is under way */
    PUBLISHER_UP,
    PUBLISHER_BLOCKED, /* connected, but the broker takes no messages (memory or disk alarm) */
};

struct publisher_metrics {
    struct metric_counter *published, *confirmed, *nacked, *returned, *republished, *unknown,
        *connects;
    struct metric_histogram *confirm_seconds;
    struct metric_gauge *outstanding;
};

struct publisher {
    struct publisher_options options;
    struct publisher_metrics metrics;
    struct publish_inbox inbox;
    pthread_t thread;
    int64_t drain_until_ms; /* written before `stopping` */
    atomic_bool stopping, held;

    /* The thread's own. */
    enum publisher_state state;
    struct request_list waiting;
    struct confirm_window window;
    struct publish_channel channel;
    struct queue_watch *queues; /* NULL: not wanted */
    struct connection_attempt *attempt;
    struct backoff backoff;
    int64_t retry_ms;            /* when to connect */
    int64_t up_since_ms;         /* of this connection */
    int64_t heartbeat_ms;        /* of this connection: the server may want less than we do */
    int64_t heard_ms;            /* when the socket was last readable */
    int64_t unwritable_since_ms; /* 0: it is writable */
    int64_t refusing_since_us;   /* nothing but nacks came; 0: an ack did, or nothing yet */
    int64_t next_sweep_ms;
};

/* Last of all: the request may be gone afterwards. */
static void answer(struct publisher *publisher, struct publish_request *request,
                   enum publish_result result)
{
    if (result == PUBLISH_UNKNOWN)
        metric_add(publisher->metrics.unknown, 1);
    publish_inbox_count_answered(&publisher->inbox);
    request->on_result(request, result);
}

static void answer_unconfirmed(struct publisher *publisher, struct publish_request *request)
{
    answer(publisher, request, request->sent ? PUBLISH_UNKNOWN : PUBLISH_REFUSED);
}

/* Answer those of `waiting` that were never sent, and keep the others. */
static void refuse_unsent(struct publisher *publisher)
{
    struct request_list all = {.first = NULL};
    request_list_init(&all);
    request_list_move(&all, &publisher->waiting);
    while (all.first) {
        struct publish_request *request = request_list_pop(&all);
        if (request->sent)
            request_list_append(&publisher->waiting, request);
        else
            answer(publisher, request, PUBLISH_REFUSED);
    }
}

/* The kernel may not give up a blocked connection, whose broker reads nothing on purpose. */
static void set_user_timeout(const struct publisher *publisher, unsigned user_timeout_ms)
{
    (void)setsockopt(publisher->channel.connection.fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                     &user_timeout_ms, sizeof user_timeout_ms);
}

/* The only place where the state changes. */
static void set_state(struct publisher *publisher, enum publisher_state state, const char *reason)
{
    enum publisher_state left = publisher->state;
    publisher->state = state;
    bool up = state == PUBLISHER_UP;
    publish_inbox_open(&publisher->inbox, up);
    if (!up) {
        queue_watch_forget(publisher->queues);
        publish_inbox_take(&publisher->inbox, &publisher->waiting);
        refuse_unsent(publisher);
    }
    switch (state) {
    case PUBLISHER_CONNECTING:
        return; /* as down as before */
    case PUBLISHER_BLOCKED:
        set_user_timeout(publisher, 0);
        break;
    case PUBLISHER_UP:
        if (left == PUBLISHER_BLOCKED)
            set_user_timeout(publisher, BROKER_USER_TIMEOUT_MS);
        break;
    case PUBLISHER_DOWN:
        break;
    }
    publisher->options.on_state(publisher->options.arg, up, reason);
}

/* Take the window's requests back, in their order, before all that wait. */
static void recover_window(struct publisher *publisher)
{
    struct confirm_window *window = &publisher->window;
    struct request_list recovered = {.first = NULL};
    request_list_init(&recovered);
    struct sent_message message;
    for (uint64_t tag = window->first; tag < window->next; tag++) {
        if (!confirm_window_expire(window, tag, &message))
            continue;
        /* One that was returned is certainly not in the queue. */
        message.request->sent = message.again || !message.returned;
        request_list_append(&recovered, message.request);
    }
    request_list_move(&recovered, &publisher->waiting);
    request_list_move(&publisher->waiting, &recovered);
}

static void lose_connection(struct publisher *publisher, int64_t now_ms, const char *reason)
{
    broker_disconnect(&publisher->channel.connection, false);
    recover_window(publisher);
    if (now_ms - publisher->up_since_ms >= STABLE_MS) {
        backoff_reset(&publisher->backoff);
        publisher->retry_ms = now_ms + arc4random_uniform(RETRY_SOON_MS);
    } else {
        publisher->retry_ms = now_ms + backoff_next_ms(&publisher->backoff, arc4random());
    }
    set_state(publisher, PUBLISHER_DOWN, reason);
}

static void lose_queue(struct publisher *publisher, int64_t now_ms, const char *reason)
{
    lose_connection(publisher, now_ms, reason);
    publisher->retry_ms = now_ms + QUEUE_GONE_PAUSE_MS; /* connecting declares it again */
}

static void fail_attempt(struct publisher *publisher, int64_t now_ms, const char *reason)
{
    publisher->attempt = NULL;
    publisher->retry_ms = now_ms + backoff_next_ms(&publisher->backoff, arc4random());
    set_state(publisher, PUBLISHER_DOWN, reason);
}

static void start_attempt(struct publisher *publisher, int64_t now_ms)
{
    struct error err;
    publisher->attempt =
        connection_attempt_start(&publisher->options.broker, publisher->options.queue,
                                 publisher->options.queue_type, true, &err);
    if (publisher->attempt)
        set_state(publisher, PUBLISHER_CONNECTING, NULL);
    else
        fail_attempt(publisher, now_ms, err.message);
}

static void finish_attempt(struct publisher *publisher, int64_t now_ms)
{
    struct broker_connection connection;
    bool differs;
    struct error err;
    if (connection_attempt_finish(publisher->attempt, &connection, &differs, &err) != 0) {
        fail_attempt(publisher, now_ms, err.message);
        return;
    }
    publisher->attempt = NULL;
    publish_channel_init(&publisher->channel, &connection);
    confirm_window_reset(&publisher->window);
    publisher->heartbeat_ms = 1000 * (int64_t)amqp_get_heartbeat(connection.amqp);
    publisher->up_since_ms = now_ms;
    publisher->heard_ms = now_ms;
    publisher->unwritable_since_ms = 0;
    publisher->refusing_since_us = 0;
    metric_add(publisher->metrics.connects, 1);
    error_set(&err, "queue %s exists with another type or other arguments, which are kept",
              publisher->options.queue);
    set_state(publisher, PUBLISHER_UP, differs ? err.message : NULL);
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
        publisher->refusing_since_us = 0;
    else if (publisher->refusing_since_us == 0)
        publisher->refusing_since_us = now_us;
    metric_observe(publisher->metrics.confirm_seconds, (double)(now_us - message.sent_us) * 1e-6);
    answer(publisher, message.request,
           acked && !message.returned ? PUBLISH_CONFIRMED : failed_result(&message, true));
}

/* Returns false when the broker settles what it was not sent. */
static bool settle(struct publisher *publisher, const struct publish_event *event)
{
    struct confirm_window *window = &publisher->window;
    uint64_t last = event->tag;
    if (last == 0 && event->multiple)
        last = window->next - 1;
    if (last == 0 || last >= window->next)
        return false;
    int64_t now_us = clock_monotonic_us();
    bool acked = event->kind == PUBLISH_EVENT_ACK;
    for (uint64_t tag = event->multiple ? window->first : last; tag <= last; tag++)
        settle_one(publisher, tag, acked, now_us);
    return true;
}

static bool is_own_queue(const struct publisher *publisher, const struct publish_event *returned)
{
    char dead[QUEUE_NAME_SIZE];
    dead_letter_queue_name(publisher->options.queue, dead);
    const char *const own[] = {publisher->options.queue, dead};
    for (int i = 0; i < 2; i++)
        if (strlen(own[i]) == returned->routing_key_len &&
            memcmp(own[i], returned->routing_key, returned->routing_key_len) == 0)
            return true;
    return false;
}

/* Returns false when the connection is lost. */
static bool take_event(struct publisher *publisher, const struct publish_event *event,
                       int64_t now_ms)
{
    switch (event->kind) {
    case PUBLISH_EVENT_NONE:
        return true;
    case PUBLISH_EVENT_ACK:
    case PUBLISH_EVENT_NACK:
        if (settle(publisher, event))
            return true;
        lose_connection(publisher, now_ms, "the broker confirmed what it was not sent");
        return false;
    case PUBLISH_EVENT_RETURN:
        metric_add(publisher->metrics.returned, 1);
        confirm_window_mark_returned(&publisher->window, event->message_id, event->message_id_len,
                                     event->routing_key, event->routing_key_len);
        if (!is_own_queue(publisher, event))
            return true;
        lose_queue(publisher, now_ms, "the queue is gone");
        return false;
    case PUBLISH_EVENT_QUEUE:
        queue_watch_take(publisher->queues, event);
        return true;
    case PUBLISH_EVENT_BLOCKED:
        set_state(publisher, PUBLISHER_BLOCKED, event->reason.message);
        return true;
    case PUBLISH_EVENT_UNBLOCKED:
        set_state(publisher, PUBLISHER_UP, NULL);
        return true;
    case PUBLISH_EVENT_GONE:
        lose_queue(publisher, now_ms, event->reason.message);
        return false;
    case PUBLISH_EVENT_LOST:
        break;
    }
    lose_connection(publisher, now_ms, event->reason.message);
    return false;
}

/* Returns false when the connection is lost. */
static bool read_events(struct publisher *publisher, int64_t now_ms)
{
    struct publish_event event;
    do {
        publish_channel_read(&publisher->channel, &event);
        if (!take_event(publisher, &event, now_ms))
            return false;
    } while (event.kind != PUBLISH_EVENT_NONE);
    return true;
}

static bool writable(const struct publisher *publisher)
{
    struct pollfd pollfd = {.fd = publisher->channel.connection.fd, .events = POLLOUT};
    return poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLOUT;
}

static bool can_send(const struct publisher *publisher)
{
    return publisher->state == PUBLISHER_UP && publisher->waiting.first &&
           !confirm_window_full(&publisher->window) && publisher->unwritable_since_ms == 0;
}

/* librabbitmq sends each message in three pieces; corked, many messages share a packet. */
static void set_cork(const struct publisher *publisher, int corked)
{
    (void)setsockopt(publisher->channel.connection.fd, IPPROTO_TCP, TCP_CORK, &corked,
                     sizeof corked);
}

static void send_waiting(struct publisher *publisher, int64_t now_ms)
{
    int64_t now_us = clock_monotonic_us();
    set_cork(publisher, 1);
    for (unsigned count = 0; count < SEND_BATCH && can_send(publisher); count++) {
        if (!writable(publisher)) {
            publisher->unwritable_since_ms = now_ms;
            break;
        }
        struct publish_request *request = request_list_pop(&publisher->waiting);
        if (request->deadline_ms <= now_ms) {
            answer_unconfirmed(publisher, request);
            continue;
        }
        metric_add(request->sent ? publisher->metrics.republished : publisher->metrics.published,
                   1);
        confirm_window_add(&publisher->window, request, now_us);
        struct error err;
        if (publish_channel_send(&publisher->channel, request, &err) != 0) {
            lose_connection(publisher, now_ms, err.message);
            return;
        }
    }
    set_cork(publisher, 0);
}

/* Returns false when the connection is lost. */
static bool ask_for_queues(struct publisher *publisher, int64_t now_ms)
{
    struct error err;
    if (publisher->state != PUBLISHER_UP || publisher->unwritable_since_ms != 0 ||
        queue_watch_ask(publisher->queues, &publisher->channel, now_ms, &err) == 0)
        return true;
    lose_connection(publisher, now_ms, err.message);
    return false;
}

static void work_connection(struct publisher *publisher, int64_t now_ms)
{
    struct pollfd pollfd = {.fd = publisher->channel.connection.fd, .events = POLLIN | POLLOUT};
    (void)poll(&pollfd, 1, 0); /* on failure nothing is ready, and the limits below tell */
    if (pollfd.revents & POLLIN)
        publisher->heard_ms = now_ms;
    if (pollfd.revents & POLLOUT)
        publisher->unwritable_since_ms = 0;
    else if (publisher->unwritable_since_ms == 0)
        publisher->unwritable_since_ms = now_ms;

    /* RabbitMQ sends a heartbeat every half interval: three of them are missing. An unwritable
     * socket is given up before a heartbeat of ours is due, for librabbitmq would block in sending
     * it. */
    if (now_ms - publisher->heard_ms > publisher->heartbeat_ms * 3 / 2)
        lose_connection(publisher, now_ms, "the broker is silent");
    else if (publisher->unwritable_since_ms != 0 &&
             now_ms - publisher->unwritable_since_ms > publisher->heartbeat_ms * 8 / 10)
        lose_connection(publisher, now_ms, "the broker takes no more data");
    else if (publisher->refusing_since_us != 0 &&
             now_ms - publisher->refusing_since_us / 1000 > REFUSING_LIMIT_MS)
        lose_connection(publisher, now_ms, "the broker refuses every message");
    else if (read_events(publisher, now_ms) && ask_for_queues(publisher, now_ms) &&
             can_send(publisher))
        send_waiting(publisher, now_ms);
}

/* Answer whatever has passed its deadline. Looking at all of them a few times a second costs less
 * than keeping them in order. */
static void sweep(struct publisher *publisher, int64_t now_ms)
{
    struct request_list all = {.first = NULL};
    request_list_init(&all);
    request_list_move(&all, &publisher->waiting);
    while (all.first) {
        struct publish_request *request = request_list_pop(&all);
        if (request->deadline_ms <= now_ms)
            answer_unconfirmed(publisher, request);
        else
            request_list_append(&publisher->waiting, request);
    }
    struct sent_message message;
    for (uint64_t tag = publisher->window.first; tag < publisher->window.next; tag++) {
        const struct sent_message *sent = confirm_window_peek(&publisher->window, tag);
        if (sent && sent->request->deadline_ms <= now_ms &&
            confirm_window_expire(&publisher->window, tag, &message))
            answer(publisher, message.request, failed_result(&message, message.returned));
    }
    publisher->next_sweep_ms = now_ms + SWEEP_MS;
}

/* Sleep until there is work or a time has come. */
static void wait_for_work(struct publisher *publisher, int64_t now_ms)
{
    struct pollfd pollfds[2] = {{.fd = publisher->inbox.wake_fd, .events = POLLIN}, {.fd = -1}};
    int64_t until_ms = INT64_MAX;
    switch (publisher->state) {
    case PUBLISHER_DOWN:
        if (!atomic_load(&publisher->held))
            until_ms = publisher->retry_ms;
        break;
    case PUBLISHER_CONNECTING:
        pollfds[1].fd = connection_attempt_fd(publisher->attempt);
        pollfds[1].events = POLLIN;
        break;
    case PUBLISHER_UP:
    case PUBLISHER_BLOCKED:
        pollfds[1].fd = publisher->channel.connection.fd;
        pollfds[1].events = publisher->unwritable_since_ms ? POLLIN | POLLOUT : POLLIN;
        until_ms = now_ms;
        if (!can_send(publisher))
            until_ms += publisher->heartbeat_ms / 10; /* see work_connection() */
        break;
    }
    if (atomic_load(&publisher->inbox.unanswered) > 0 && until_ms > publisher->next_sweep_ms)
        until_ms = publisher->next_sweep_ms;
    int64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    (void)poll(pollfds, 2, left_ms < INT_MAX ? (int)left_ms : -1); /* interrupted: look around */
    if (pollfds[0].revents & POLLIN)
        publish_inbox_woken(&publisher->inbox);
}

static bool has_drained(const struct publisher *publisher, int64_t now_ms)
{
    return atomic_load(&publisher->stopping) &&
           (atomic_load(&publisher->inbox.unanswered) == 0 || now_ms >= publisher->drain_until_ms);
}

static void *publisher_run(void *arg)
{
    struct publisher *publisher = arg;
    int64_t now_ms;
    while (!has_drained(publisher, now_ms = clock_monotonic_ms())) {
        publish_inbox_take(&publisher->inbox, &publisher->waiting);
        switch (publisher->state) {
        case PUBLISHER_DOWN:
            if (now_ms >= publisher->retry_ms && !atomic_load(&publisher->held))
                start_attempt(publisher, now_ms);
            break;
        case PUBLISHER_CONNECTING: {
            struct pollfd ended = {.fd = connection_attempt_fd(publisher->attempt),
                                   .events = POLLIN};
            if (poll(&ended, 1, 0) == 1)
                finish_attempt(publisher, now_ms);
            break;
        }
        case PUBLISHER_UP:
        case PUBLISHER_BLOCKED:
            work_connection(publisher, now_ms);
            break;
        }
        if (now_ms >= publisher->next_sweep_ms)
            sweep(publisher, now_ms);
        metric_set(publisher->metrics.outstanding, atomic_load(&publisher->inbox.unanswered));
        wait_for_work(publisher, now_ms);
    }
    connection_attempt_abandon(publisher->attempt);
    publish_inbox_take(&publisher->inbox, &publisher->waiting);
    recover_window(publisher);
    while (publisher->waiting.first)
        answer_unconfirmed(publisher, request_list_pop(&publisher->waiting));
    broker_disconnect(&publisher->channel.connection, publisher->unwritable_since_ms == 0);
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
        .confirm_seconds = metric_histogram_seconds("publisher_confirm_seconds", NULL,
                                                    "From sending a message to its confirm"),
        .outstanding =
            metric_gauge("publisher_outstanding", NULL, "Messages taken and not answered"),
    };
}

bool publisher_accepts(const struct publisher *publisher)
{
    return publish_inbox_accepts(&publisher->inbox);
}

int publisher_submit(struct publisher *publisher, struct publish_request *first, unsigned count)
{
    return publish_inbox_submit(&publisher->inbox, first, count);
}

void publisher_hold(struct publisher *publisher, bool held)
{
    atomic_store(&publisher->held, held);
    publish_inbox_wake(&publisher->inbox);
}

struct publisher *publisher_new(const struct publisher_options *options)
{
    struct publisher *publisher = memory_new(sizeof *publisher);
    publisher->options = *options;
    publisher->metrics = register_metrics();
    metric_set(metric_gauge("publisher_window", NULL, "Messages taken and not answered at most"),
               options->window);
    if (options->watches_queues)
        publisher->queues = queue_watch_new(options->queue);
    publish_inbox_init(&publisher->inbox, options->window);
    request_list_init(&publisher->waiting);
    publisher->state = PUBLISHER_DOWN;
    publisher->channel.connection.fd = -1;
    publisher->backoff = reconnect_backoff;
    atomic_store(&publisher->held, options->held);
    /* Twice the window: one slow confirm does not stop those behind it at once. */
    confirm_window_init(&publisher->window, 2 * (size_t)options->window);

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
    publish_inbox_close(&publisher->inbox);
    pthread_join(publisher->thread, NULL);
    publish_inbox_release(&publisher->inbox);
    confirm_window_release(&publisher->window);
    queue_watch_free(publisher->queues);
    free(publisher);
}
