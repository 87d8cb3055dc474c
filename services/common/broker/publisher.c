/* The publisher's thread. Requests come in through a list under a mutex (`inbox`), wait in the
 * order in which they came (`waiting`), and are in the confirm window while the broker has them. A
 * lost connection puts the window's requests back to the front of `waiting`, as sent; only those
 * wait while the connection is down or blocked, for whatever was never sent is refused at once.
 *
 * The thread sleeps in one poll() over the eventfd of new work and the connection's socket, never
 * inside librabbitmq: it publishes only while the socket is writable, and connecting happens on a
 * thread of its own (connection_attempt.h), so that deadlines are kept meanwhile. */
#include "services/common/broker/publisher.h"
#include "services/common/backoff.h"
#include "services/common/broker/confirm_window.h"
#include "services/common/broker/connection_attempt.h"
#include "services/common/broker/publish_channel.h"
#include "services/common/clock.h"
#include "services/common/memory.h"
#include "services/common/metrics.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* RabbitMQ sends a heartbeat every half interval (5 s): three of them are missing. */
#define SILENCE_LIMIT_MS (BROKER_HEARTBEAT_S * 1500)
/* Shorter than the heartbeat interval, after which librabbitmq would try to send one, and block. */
#define UNWRITABLE_LIMIT_MS (BROKER_HEARTBEAT_S * 800)
#define TICK_MS 1000   /* for heartbeats and the two limits above */
#define SWEEP_MS 50    /* between two looks for passed deadlines, while anything is unanswered */
#define SEND_BATCH 128 /* then read confirms again */
#define STABLE_MS 5000 /* a connection that lived this long was a good one: retry at once */
#define RETRY_SOON_MS 100

/* On average one attempt a second, and never more than 1.8 s from an open port to an attempt. */
static const struct backoff reconnect_backoff = {.base_ms = 600, .cap_ms = 1800};

enum publisher_state {
    PUBLISHER_DOWN,       /* until retry_ms */
    PUBLISHER_CONNECTING, /* `attempt` is under way */
    PUBLISHER_UP,
    PUBLISHER_BLOCKED, /* connected, but the broker takes no messages (memory or disk alarm) */
};

struct request_list {
    struct publish_request *first, **end;
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
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t lock; /* of what follows, up to the next empty line */
    struct request_list inbox;
    bool stopping;
    int64_t drain_until_ms;

    /* Written under the lock, or by the thread. */
    atomic_bool accepting;
    atomic_uint unanswered; /* in inbox, waiting and window */

    /* The thread's own. */
    enum publisher_state state;
    struct request_list waiting;
    struct confirm_window window;
    struct publish_channel channel;
    struct connection_attempt *attempt;
    struct backoff backoff;
    int64_t retry_ms;            /* when to connect */
    int64_t up_since_ms;         /* of this connection */
    int64_t heard_ms;            /* when the socket was last readable */
    int64_t unwritable_since_ms; /* 0: it is writable */
    int64_t next_sweep_ms;
};

static void list_init(struct request_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct request_list *list, struct publish_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

/* Move all of `from` behind `to`. */
static void list_move(struct request_list *to, struct request_list *from)
{
    if (!from->first)
        return;
    *to->end = from->first;
    to->end = from->end;
    list_init(from);
}

static struct publish_request *list_pop(struct request_list *list)
{
    struct publish_request *request = list->first;
    list->first = request->next;
    if (!list->first)
        list->end = &list->first;
    return request;
}

/* ---- any thread ---- */

static void wake(struct publisher *publisher)
{
    uint64_t one = 1;
    /* Fails only when the counter is full: then the thread is awake. */
    ssize_t written = write(publisher->wake_fd, &one, sizeof one);
    (void)written;
}

bool publisher_accepts(const struct publisher *publisher)
{
    return atomic_load(&publisher->accepting) &&
           atomic_load(&publisher->unanswered) < publisher->options.window;
}

int publisher_submit(struct publisher *publisher, struct publish_request *first, unsigned count)
{
    if (!publisher_accepts(publisher)) /* a cheap answer while the broker is down */
        return -1;
    pthread_mutex_lock(&publisher->lock);
    unsigned unanswered = atomic_load(&publisher->unanswered);
    bool taken = atomic_load(&publisher->accepting) && count <= publisher->options.window &&
                 unanswered <= publisher->options.window - count;
    bool was_empty = !publisher->inbox.first;
    if (taken) {
        atomic_fetch_add(&publisher->unanswered, count);
        while (first) {
            struct publish_request *next = first->next;
            first->sent = false;
            list_append(&publisher->inbox, first);
            first = next;
        }
    }
    pthread_mutex_unlock(&publisher->lock);
    if (taken && was_empty)
        wake(publisher);
    return taken ? 0 : -1;
}

/* ---- the thread ---- */

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

static void set_accepting(struct publisher *publisher, bool accepting)
{
    pthread_mutex_lock(&publisher->lock);
    atomic_store(&publisher->accepting, accepting && !publisher->stopping);
    list_move(&publisher->waiting, &publisher->inbox);
    pthread_mutex_unlock(&publisher->lock);
}

/* Answer those of `waiting` that were never sent, and keep the others. */
static void refuse_unsent(struct publisher *publisher)
{
    struct request_list all = {.first = NULL};
    list_init(&all);
    list_move(&all, &publisher->waiting);
    while (all.first) {
        struct publish_request *request = list_pop(&all);
        if (request->sent)
            list_append(&publisher->waiting, request);
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
    set_accepting(publisher, up);
    if (!up)
        refuse_unsent(publisher);
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
    list_init(&recovered);
    struct sent_message message;
    for (uint64_t tag = window->first; tag < window->next; tag++) {
        if (!confirm_window_expire(window, tag, &message))
            continue;
        /* One that was returned is certainly not in the queue. */
        message.request->sent = message.again || !message.returned;
        list_append(&recovered, message.request);
    }
    list_move(&recovered, &publisher->waiting);
    list_move(&publisher->waiting, &recovered);
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
    publisher->up_since_ms = now_ms;
    publisher->heard_ms = now_ms;
    publisher->unwritable_since_ms = 0;
    metric_add(publisher->metrics.connects, 1);
    error_set(&err, "queue %s exists with another type or other arguments, which are kept",
              publisher->options.queue);
    set_state(publisher, PUBLISHER_UP, differs ? err.message : NULL);
}

static void settle_one(struct publisher *publisher, uint64_t tag, bool acked, int64_t now_us)
{
    struct sent_message message;
    if (!confirm_window_settle(&publisher->window, tag, &message))
        return; /* its deadline had passed */
    metric_add(acked ? publisher->metrics.confirmed : publisher->metrics.nacked, 1);
    metric_observe(publisher->metrics.confirm_seconds, (double)(now_us - message.sent_us) * 1e-6);
    enum publish_result result = PUBLISH_CONFIRMED;
    if (!acked || message.returned) /* this sending is not in the queue; an earlier one may be */
        result = message.again ? PUBLISH_UNKNOWN : PUBLISH_REFUSED;
    answer(publisher, message.request, result);
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
        lose_connection(publisher, now_ms, "the queue is gone"); /* connecting declares it again */
        return false;
    case PUBLISH_EVENT_BLOCKED:
        set_state(publisher, PUBLISHER_BLOCKED, event->reason.message);
        return true;
    case PUBLISH_EVENT_UNBLOCKED:
        set_state(publisher, PUBLISHER_UP, NULL);
        return true;
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
        struct publish_request *request = list_pop(&publisher->waiting);
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

    if (now_ms - publisher->heard_ms > SILENCE_LIMIT_MS)
        lose_connection(publisher, now_ms, "the broker is silent");
    else if (publisher->unwritable_since_ms != 0 &&
             now_ms - publisher->unwritable_since_ms > UNWRITABLE_LIMIT_MS)
        lose_connection(publisher, now_ms, "the broker takes no more data");
    else if (read_events(publisher, now_ms) && can_send(publisher))
        send_waiting(publisher, now_ms);
}

/* Answer whatever has passed its deadline. Looking at all of them a few times a second costs less
 * than keeping them in order. */
static void sweep(struct publisher *publisher, int64_t now_ms)
{
    struct request_list all = {.first = NULL};
    list_init(&all);
    list_move(&all, &publisher->waiting);
    while (all.first) {
        struct publish_request *request = list_pop(&all);
        if (request->deadline_ms <= now_ms)
            answer_unconfirmed(publisher, request);
        else
            list_append(&publisher->waiting, request);
    }
    struct sent_message message;
    for (uint64_t tag = publisher->window.first; tag < publisher->window.next; tag++) {
        const struct sent_message *sent = confirm_window_peek(&publisher->window, tag);
        if (sent && sent->request->deadline_ms <= now_ms &&
            confirm_window_expire(&publisher->window, tag, &message))
            answer(publisher, message.request, PUBLISH_UNKNOWN);
    }
    publisher->next_sweep_ms = now_ms + SWEEP_MS;
}

/* Returns false when the thread shall end. */
static bool take_inbox(struct publisher *publisher, int64_t now_ms)
{
    pthread_mutex_lock(&publisher->lock);
    list_move(&publisher->waiting, &publisher->inbox);
    bool drained = publisher->stopping && (atomic_load(&publisher->unanswered) == 0 ||
                                           now_ms >= publisher->drain_until_ms);
    pthread_mutex_unlock(&publisher->lock);
    return !drained;
}

/* Sleep until there is work or a time has come. */
static void wait_for_work(struct publisher *publisher, int64_t now_ms)
{
    struct pollfd pollfds[2] = {{.fd = publisher->wake_fd, .events = POLLIN}, {.fd = -1}};
    int64_t until_ms = now_ms + TICK_MS;
    switch (publisher->state) {
    case PUBLISHER_DOWN:
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
        if (can_send(publisher))
            until_ms = now_ms;
        break;
    }
    if (atomic_load(&publisher->unanswered) > 0 && until_ms > publisher->next_sweep_ms)
        until_ms = publisher->next_sweep_ms;
    int64_t left_ms = until_ms - now_ms;
    (void)poll(pollfds, 2, left_ms > 0 ? (int)left_ms : 0); /* interrupted: look around */
    if (pollfds[0].revents & POLLIN) {
        uint64_t wakes;
        ssize_t taken = read(publisher->wake_fd, &wakes, sizeof wakes);
        (void)taken; /* nobody else reads it */
    }
}

static void *publisher_run(void *arg)
{
    struct publisher *publisher = arg;
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        if (!take_inbox(publisher, now_ms))
            break;
        switch (publisher->state) {
        case PUBLISHER_DOWN:
            if (now_ms >= publisher->retry_ms)
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
        metric_set(publisher->metrics.outstanding, atomic_load(&publisher->unanswered));
        wait_for_work(publisher, now_ms);
    }
    connection_attempt_abandon(publisher->attempt);
    recover_window(publisher);
    while (publisher->waiting.first)
        answer_unconfirmed(publisher, list_pop(&publisher->waiting));
    broker_disconnect(&publisher->channel.connection, publisher->unwritable_since_ms == 0);
    return NULL;
}

/* ---- life ---- */

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

struct publisher *publisher_new(const struct publisher_options *options)
{
    struct publisher *publisher = memory_new(sizeof *publisher);
    publisher->options = *options;
    publisher->metrics = register_metrics();
    publisher->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (publisher->wake_fd < 0)
        abort();
    pthread_mutex_init(&publisher->lock, NULL);
    list_init(&publisher->inbox);
    list_init(&publisher->waiting);
    publisher->state = PUBLISHER_DOWN;
    publisher->channel.connection.fd = -1;
    publisher->backoff = reconnect_backoff;
    /* Twice the window: one slow confirm does not stop those behind it at once. */
    confirm_window_init(&publisher->window, 2 * (size_t)options->window);

    /* Signals are for the program's main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&publisher->thread, NULL, publisher_run, publisher) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return publisher;
}

void publisher_free(struct publisher *publisher, int64_t drain_ms)
{
    if (!publisher)
        return;
    pthread_mutex_lock(&publisher->lock);
    publisher->stopping = true;
    publisher->drain_until_ms = clock_monotonic_ms() + drain_ms;
    atomic_store(&publisher->accepting, false);
    pthread_mutex_unlock(&publisher->lock);
    wake(publisher);
    pthread_join(publisher->thread, NULL);
    pthread_mutex_destroy(&publisher->lock);
    close(publisher->wake_fd);
    confirm_window_release(&publisher->window);
    free(publisher);
}
