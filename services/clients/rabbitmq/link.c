/* One connection at a time: an attempt makes it on a background thread, then every frame is read
 * without waiting, on each wake until there is none: what librabbitmq has buffered does not make
 * the socket readable. Every fault of a connection has one remedy: another connection.
 *
 * librabbitmq sends heartbeats inside its reading functions, and blocks when the socket is full. So
 * the link reads at least ten times per heartbeat interval, and gives an unwritable socket up
 * before a heartbeat is due. */
#include "services/clients/rabbitmq/link.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/link_attempt.h"
#include "services/loop/background.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FRAMES_PER_TURN 4096 /* then the rest of the loop has its turn */
#define ASK_EVERY_MS 2000
#define STABLE_MS 5000 /* a connection that lived this long was a good one: retry at once */
#define RETRY_SOON_MS 100
/* The last one since RabbitMQ 4.3; before, consumer_timeout closes the channel. */
#define CANCELLED                                                                                  \
    "the broker cancels: the queue was deleted, its node went down, or an order was held too long"

/* On average less than one attempt a second, and never more than 1.8 s from an open port to an
 * attempt. */
static const struct backoff reconnect_backoff = {.base_ms = 1000, .cap_ms = 1800};

enum link_state {
    LINK_DOWN,       /* until `retry` fires, if it is not held */
    LINK_CONNECTING, /* `attempt` is under way */
    LINK_UP,
};

struct broker_link {
    struct broker_link_options options;
    struct event_loop *loop;
    enum link_state state;
    bool held, paused, blocked;
    struct backoff backoff;
    struct background *background; /* runs `attempt` */
    struct link_attempt *attempt;
    struct broker_connection connection;
    struct queue_differences differences; /* of its queues */
    struct loop_watch *watch;             /* of the connection */
    struct loop_timer *retry, *tick, *again;
    int64_t retry_ms;            /* when to connect */
    int64_t up_since_ms;         /* of this connection, as all below */
    int64_t heartbeat_ms;        /* as negotiated: the server may want less than we do */
    int64_t heard_ms;            /* when something last came */
    int64_t beat_ms;             /* when a heartbeat was last sent by hand */
    int64_t asked_ms;            /* when the queues were last asked for */
    int64_t unwritable_since_ms; /* 0: it is writable */
};

/* Going down and up */

static void go_down(struct broker_link *link, const char *reason, int64_t pause_ms)
{
    link->state = LINK_DOWN;
    loop_watch_free(link->watch);
    link->watch = NULL;
    loop_timer_stop(link->tick);
    loop_timer_stop(link->again);
    broker_disconnect(&link->connection, false);
    link->paused = link->blocked = false;
    if (pause_ms == BROKER_LINK_POLICY)
        pause_ms = backoff_next_ms(&link->backoff, arc4random());
    link->retry_ms = clock_monotonic_ms() + pause_ms;
    if (!link->held)
        loop_timer_start(link->retry, pause_ms);
    link->options.on_down(link->options.arg, reason);
}

void broker_link_drop(struct broker_link *link, const char *reason, int64_t pause_ms)
{
    if (link->state != LINK_UP)
        return;
    bool stable = clock_monotonic_ms() - link->up_since_ms >= STABLE_MS;
    if (stable)
        backoff_reset(&link->backoff);
    if (stable && pause_ms == BROKER_LINK_POLICY)
        pause_ms = arc4random_uniform(RETRY_SOON_MS);
    go_down(link, reason, pause_ms);
}

static void lose(struct broker_link *link, const char *reason)
{
    broker_link_drop(link, reason, BROKER_LINK_POLICY);
}

static void on_ready(void *arg, bool readable, bool writable);
static void turn(void *arg);

static void watch_as_wanted(const struct broker_link *link)
{
    loop_watch_want(link->watch, !link->paused, link->unwritable_since_ms != 0);
}

static void go_up(struct broker_link *link, const struct broker_connection *connection)
{
    link->state = LINK_UP;
    link->connection = *connection;
    link->heartbeat_ms = 1000 * (int64_t)amqp_get_heartbeat(connection->amqp);
    link->up_since_ms = link->heard_ms = link->beat_ms = link->asked_ms = clock_monotonic_ms();
    link->unwritable_since_ms = 0;
    link->watch = event_loop_watch(link->loop, connection->fd, on_ready, link);
    watch_as_wanted(link);
    loop_timer_start(link->tick, link->heartbeat_ms / 10);
    struct error warning;
    bool differs = queue_differences_report(&link->differences, link->options.queue, &warning);
    link->options.on_up(link->options.arg, differs ? warning.message : NULL);
    turn(link);
}

/* Reading */

/* The kernel may not give up a blocked connection, whose broker reads nothing on purpose. */
static void set_blocked(struct broker_link *link, const char *reason)
{
    unsigned user_timeout_ms = reason ? 0 : BROKER_USER_TIMEOUT_MS;
    if (!link->options.on_blocked)
        return;
    link->blocked = reason != NULL;
    (void)setsockopt(link->connection.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
                     sizeof user_timeout_ms);
    link->options.on_blocked(link->options.arg, reason);
}

/* Returns whether the method is the link's own affair. */
static bool take_method(struct broker_link *link, const amqp_method_t *method)
{
    struct error reason;
    amqp_bytes_t why;
    unsigned code;
    bool gone;
    switch (method->id) {
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        if (link->options.ask_queues > 0)
            link->options.on_counts(link->options.arg, method->decoded);
        return link->options.ask_queues > 0;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        why = ((const amqp_connection_blocked_t *)method->decoded)->reason;
        error_set(&reason, "blocked by the broker: %.*s", why.len > 150 ? 150 : (int)why.len,
                  (const char *)why.bytes);
        set_blocked(link, reason.message);
        return true;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        set_blocked(link, NULL);
        return true;
    case AMQP_BASIC_CANCEL_METHOD:
        broker_link_drop(link, CANCELLED, QUEUE_GONE_PAUSE_MS);
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        /* 541: RabbitMQ 3.10 ends so where a message meets its queue while that is being deleted.
         */
        code = broker_closed(method, &reason);
        gone = code == AMQP_NOT_FOUND || code == AMQP_INTERNAL_ERROR;
        broker_link_drop(link, reason.message, gone ? QUEUE_GONE_PAUSE_MS : BROKER_LINK_POLICY);
        return true;
    default:
        return false;
    }
}

static void take_frame(struct broker_link *link, const amqp_frame_t *frame)
{
    struct error err;
    if (frame->frame_type == AMQP_FRAME_METHOD && take_method(link, &frame->payload.method))
        return;
    if (link->options.on_frame(link->options.arg, frame, &err) != 0)
        lose(link, err.message);
}

/* Whether librabbitmq has read more than it has handed out. OpenSSL may have more than that, and
 * does not tell. */
static bool has_read_ahead(const struct broker_link *link)
{
    amqp_connection_state_t amqp = link->connection.amqp;
    return link->connection.tls || amqp_frames_enqueued(amqp) || amqp_data_in_buffer(amqp);
}

/* Until nothing is left. To find that out by reading takes two system calls, so without TLS it is
 * left to the loop, which tells when more has come. */
static void read_frames(struct broker_link *link)
{
    amqp_connection_state_t amqp = link->connection.amqp;
    for (unsigned count = 0; count < FRAMES_PER_TURN && !link->paused; count++) {
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(amqp, &frame, &(struct timeval){0});
        if (status == AMQP_STATUS_TIMEOUT)
            return;
        if (status != AMQP_STATUS_OK) {
            lose(link, amqp_error_string2(status));
            return;
        }
        /* on_ready() is not called for an answer that is read in the tick that asked. */
        if (count == 0)
            link->heard_ms = clock_monotonic_ms();
        take_frame(link, &frame);
        if (link->state != LINK_UP)
            return;
        /* The callback has copied what it needs of the frame; without this, memory grows. */
        amqp_maybe_release_buffers_on_channel(amqp, frame.channel);
        if (!has_read_ahead(link))
            return;
    }
    if (!link->paused)
        broker_link_turn_again(link);
}

static void turn(void *arg)
{
    struct broker_link *link = arg;
    if (link->state == LINK_UP && !link->paused)
        read_frames(link);
    if (link->state == LINK_UP)
        link->options.on_turn(link->options.arg);
    /* librabbitmq may have read ahead while it sent. */
    if (link->state == LINK_UP && !link->paused &&
        (amqp_frames_enqueued(link->connection.amqp) || amqp_data_in_buffer(link->connection.amqp)))
        broker_link_turn_again(link);
}

void broker_link_turn_again(struct broker_link *link)
{
    if (link->state == LINK_UP && !loop_timer_running(link->again))
        loop_timer_start(link->again, 0);
}

void broker_link_pause(struct broker_link *link, bool paused)
{
    if (link->state != LINK_UP || link->paused == paused)
        return;
    link->paused = paused;
    watch_as_wanted(link);
    if (!paused)
        broker_link_turn_again(link);
}

/* Events */

static void on_ready(void *arg, bool readable, bool writable)
{
    struct broker_link *link = arg;
    if (readable)
        link->heard_ms = clock_monotonic_ms();
    if (writable) {
        link->unwritable_since_ms = 0;
        watch_as_wanted(link);
    }
    /* Ready, and yet not writable: the socket has hung up. Reading would tell, but nobody reads. */
    if (writable && link->paused && !broker_link_writable(link))
        lose(link, "the connection is gone");
    turn(link);
}

bool broker_link_writable(struct broker_link *link)
{
    if (link->state != LINK_UP || link->unwritable_since_ms != 0)
        return false;
    struct pollfd pollfd = {.fd = link->connection.fd, .events = POLLOUT};
    if (poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLOUT)
        return true;
    link->unwritable_since_ms = clock_monotonic_ms();
    watch_as_wanted(link);
    return false;
}

/* While nothing is read, librabbitmq sends no heartbeats, and silence means nothing. */
static void beat(struct broker_link *link, int64_t now_ms)
{
    link->heard_ms = now_ms;
    if (now_ms - link->beat_ms < link->heartbeat_ms / 2)
        return;
    link->beat_ms = now_ms;
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEARTBEAT, .channel = 0};
    if (amqp_send_frame(link->connection.amqp, &frame) != AMQP_STATUS_OK)
        lose(link, "cannot send a heartbeat");
}

static void ask(struct broker_link *link, int64_t now_ms)
{
    char dead[QUEUE_NAME_SIZE];
    struct error err;
    if (link->blocked || now_ms - link->asked_ms < ASK_EVERY_MS)
        return;
    link->asked_ms = now_ms;
    dead_letter_queue_name(link->options.queue, dead);
    const char *const queues[] = {link->options.queue, dead, link->options.third_queue};
    for (unsigned i = 0; i < link->options.ask_queues && link->state == LINK_UP; i++)
        if (queue_ask(&link->connection, queues[i], &err) != 0)
            lose(link, err.message);
}

static void on_tick(void *arg)
{
    struct broker_link *link = arg;
    bool writable = broker_link_writable(link);
    int64_t now_ms = clock_monotonic_ms();
    loop_timer_start(link->tick, link->heartbeat_ms / 10);
    /* RabbitMQ sends a heartbeat every half interval: three of them are missing. */
    if (!link->paused && now_ms - link->heard_ms > link->heartbeat_ms * 3 / 2) {
        lose(link, "the broker is silent");
    } else if (!writable) {
        if (now_ms - link->unwritable_since_ms > link->heartbeat_ms * 8 / 10)
            lose(link, "the broker takes no more data");
    } else if (link->paused) {
        beat(link, now_ms);
    } else {
        ask(link, now_ms);
        turn(link); /* sends a heartbeat when one is due */
    }
}

/* Connecting */

static void on_attempt_done(void *arg, const struct error *failure)
{
    struct broker_link *link = arg;
    struct broker_connection connection = link->attempt->connection; /* taken */
    struct error err = failure ? *failure : link->attempt->err;
    link->differences = link->attempt->differences;
    link->attempt->connection.amqp = NULL;
    background_free(link->background);
    link->background = NULL;
    if (connection.amqp)
        go_up(link, &connection);
    else
        go_down(link, err.message, BROKER_LINK_POLICY);
}

static void on_retry(void *arg)
{
    struct broker_link *link = arg;
    link->state = LINK_CONNECTING;
    link->attempt = link_attempt_new(&link->options);
    link->options.broker.server++;
    link->background = background_new(link->loop, &(struct background_call){
                                                      .work = link->attempt,
                                                      .run = link_attempt_run,
                                                      .release = link_attempt_free,
                                                      .on_done = on_attempt_done,
                                                      .arg = link,
                                                  });
}

/* Life */

struct broker_link *broker_link_new(struct event_loop *loop,
                                    const struct broker_link_options *options)
{
    struct broker_link *link = memory_new(sizeof *link);
    link->options = *options;
    link->loop = loop;
    link->state = LINK_DOWN;
    link->held = true;
    link->backoff = reconnect_backoff;
    link->connection.fd = -1;
    link->retry = event_loop_timer(loop, on_retry, link);
    link->tick = event_loop_timer(loop, on_tick, link);
    link->again = event_loop_timer(loop, turn, link);
    return link;
}

void broker_link_hold(struct broker_link *link, bool held)
{
    if (link->held == held)
        return;
    link->held = held;
    loop_timer_stop(link->retry);
    if (link->state == LINK_DOWN && !held) {
        int64_t left_ms = link->retry_ms - clock_monotonic_ms();
        loop_timer_start(link->retry, left_ms > 0 ? left_ms : 0);
    }
}

struct broker_connection *broker_link_connection(struct broker_link *link)
{
    return link->state == LINK_UP ? &link->connection : NULL;
}

const struct queue_differences *broker_link_differences(const struct broker_link *link)
{
    return &link->differences;
}

void broker_link_free(struct broker_link *link)
{
    if (!link)
        return;
    bool politely = broker_link_writable(link);
    background_free(link->background);
    loop_watch_free(link->watch);
    loop_timer_free(link->retry);
    loop_timer_free(link->tick);
    loop_timer_free(link->again);
    broker_disconnect(&link->connection, politely);
    free(link);
}
