/* The connection is made on a thread of its own (connection_attempt.h). Then every frame is read
 * without waiting, on each wake until there is none: what librabbitmq has buffered does not make
 * the socket readable. Nothing is sent unless the socket is writable. Whatever goes wrong with the
 * connection, a queue that was deleted included, has one remedy: another one, with backoff.
 *
 * The broker is asked now and then whether it still knows a consumer: when somebody deletes a
 * quorum queue and declares it again at once, it may never say so (QUEUE_GONE_PAUSE_MS tells more),
 * and the orders would wait for ever. */
#include "services/bridge/intake.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/bridge/content_reader.h"
#include "services/bridge/settlements.h"
#include "services/clients/rabbitmq/connection_attempt.h"
#include "services/runtime/health.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER_TAG "bridge"
#define FRAMES_PER_WAKE 4096 /* then the rest of the loop has its turn */
#define TICK_MS 1000
#define ASK_EVERY_MS 2000
#define HEARTBEAT_MS (BROKER_HEARTBEAT_S * 500)
/* RabbitMQ sends a heartbeat every half interval (5 s): three of them are missing. */
#define SILENCE_LIMIT_MS (BROKER_HEARTBEAT_S * 1500)
/* Shorter than the heartbeat interval, after which librabbitmq would try to send one, and block. */
#define UNWRITABLE_LIMIT_MS (BROKER_HEARTBEAT_S * 800)
#define STABLE_MS 5000 /* a connection that lived this long was a good one: retry at once */
#define RETRY_SOON_MS 100

static const struct backoff reconnect_backoff = {.base_ms = 1000, .cap_ms = 2000};

enum intake_state {
    INTAKE_DOWN,       /* until `retry` fires */
    INTAKE_CONNECTING, /* `attempt` is under way */
    INTAKE_CONSUMING,
    INTAKE_CANCELLED, /* consuming no more, but connected */
};

struct intake {
    struct intake_options options;
    struct event_loop *loop;
    enum intake_state state;
    struct loop_timer *retry, *tick, *again;
    struct loop_watch *watch; /* of the attempt, then of the connection */
    struct connection_attempt *attempt;
    struct backoff backoff;
    struct broker_connection connection;
    uint64_t epoch;
    struct content_reader reader;
    struct settlements settlements;
    bool waiting;    /* for room for a large content: nothing is read */
    bool want_write; /* settlements wait for the socket */
    bool stopping;   /* no more connecting */
    int64_t up_since_ms, heard_ms, heartbeat_ms, asked_ms;
    int64_t unwritable_since_ms; /* as seen by ticks; 0: it is writable */
    struct health_check *health;
    struct metric_counter *connects, *losses, *redelivered;
};

static bool connected(const struct intake *intake)
{
    return intake->state == INTAKE_CONSUMING || intake->state == INTAKE_CANCELLED;
}

/* The only place where the state changes; leaving tidies up. */
static void set_state(struct intake *intake, enum intake_state state)
{
    enum intake_state left = intake->state;
    intake->state = state;
    if (left == INTAKE_CONSUMING && state == INTAKE_CANCELLED)
        return;
    loop_watch_free(intake->watch);
    intake->watch = NULL;
    if (left == INTAKE_CONSUMING || left == INTAKE_CANCELLED) {
        loop_timer_stop(intake->tick);
        loop_timer_stop(intake->again);
        settlements_clear(&intake->settlements);
        content_reader_reset(&intake->reader);
        intake->waiting = intake->want_write = false;
    }
}

/* Both directions are wanted or not by several: say it in one place. */
static void watch_as_wanted(struct intake *intake)
{
    loop_watch_want(intake->watch, !intake->waiting, intake->want_write);
}

static void lose(struct intake *intake, const char *reason, int64_t delay_ms)
{
    broker_disconnect(&intake->connection, false);
    set_state(intake, INTAKE_DOWN);
    metric_add(intake->losses, 1);
    if (health_set(intake->health, false, reason))
        log_warn("order queue lost", log_text("reason", reason));
    if (!intake->stopping)
        loop_timer_start(intake->retry, delay_ms);
    intake->options.on_connection(intake->options.arg, 0);
}

/* An error of the connection: the caller touches the connection no more. */
static void fail(struct intake *intake, const char *reason)
{
    int64_t delay_ms = arc4random_uniform(RETRY_SOON_MS);
    if (clock_monotonic_ms() - intake->up_since_ms >= STABLE_MS)
        backoff_reset(&intake->backoff);
    else
        delay_ms = backoff_next_ms(&intake->backoff, arc4random());
    lose(intake, reason, delay_ms);
}

/* Reading */

static void closed(struct intake *intake, const char *what, unsigned code, amqp_bytes_t text)
{
    struct error err;
    error_set(&err, "%s closed by the broker: %u %.*s", what, code,
              text.len > 150 ? 150 : (int)text.len, (const char *)text.bytes);
    if (code == AMQP_NOT_FOUND)
        lose(intake, err.message, QUEUE_GONE_PAUSE_MS);
    else
        fail(intake, err.message);
}

/* Returns false when the connection is lost. */
static bool take_method(struct intake *intake, const amqp_method_t *method)
{
    struct error err;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        if (content_reader_begin(&intake->reader, method->decoded, &err) == 0)
            return true;
        fail(intake, err.message);
        return false;
    case AMQP_BASIC_QOS_OK_METHOD:
    case AMQP_CONNECTION_BLOCKED_METHOD: /* it only concerns publishers */
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        return true;
    case AMQP_QUEUE_DECLARE_OK_METHOD: {
        const amqp_queue_declare_ok_t *queue = method->decoded;
        if (intake->state != INTAKE_CONSUMING || queue->message_count == 0 ||
            queue->consumer_count > 0)
            return true;
        fail(intake, "the broker has forgotten the consumer");
        return false;
    }
    case AMQP_BASIC_CANCEL_METHOD:
        lose(intake, "the queue was deleted, or its node went down", QUEUE_GONE_PAUSE_MS);
        return false;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        const amqp_channel_close_t *close = method->decoded;
        closed(intake, "channel", close->reply_code, close->reply_text);
        return false;
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
        const amqp_connection_close_t *close = method->decoded;
        closed(intake, "connection", close->reply_code, close->reply_text);
        return false;
    }
    default:
        fail(intake, "the broker sent an unexpected method");
        return false;
    }
}

/* Returns false when the connection is lost. */
static bool take_content(struct intake *intake, const amqp_frame_t *frame)
{
    struct content *content;
    uint64_t delivery_tag;
    struct error err;
    if (content_reader_add(&intake->reader, frame, &content, &delivery_tag, &err) != 0) {
        fail(intake, err.message);
        return false;
    }
    if (content == NULL)
        return true;
    if (intake->reader.redelivered)
        metric_add(intake->redelivered, 1);
    content_decode(content);
    if (intake->options.on_delivery(intake->options.arg, delivery_tag, content) == 0)
        return true;
    fail(intake, "the broker delivered what it must not");
    return false;
}

/* Returns false when the connection is lost. */
static bool read_frames(struct intake *intake)
{
    amqp_connection_state_t amqp = intake->connection.amqp;
    for (unsigned count = 0; count < FRAMES_PER_WAKE; count++) {
        if (content_reader_must_wait(&intake->reader)) {
            intake->waiting = true;
            watch_as_wanted(intake);
            return true;
        }
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(amqp, &frame, &(struct timeval){0});
        if (status == AMQP_STATUS_TIMEOUT)
            return true;
        if (status != AMQP_STATUS_OK) {
            fail(intake, amqp_error_string2(status));
            return false;
        }
        /* on_ready() is not called for an answer that is read in the tick that asked. */
        if (count == 0)
            intake->heard_ms = clock_monotonic_ms();
        if (!(frame.frame_type == AMQP_FRAME_METHOD ? take_method(intake, &frame.payload.method)
                                                    : take_content(intake, &frame)))
            return false;
        /* Whatever was needed of the frame is copied; without this, memory grows. */
        amqp_maybe_release_buffers_on_channel(amqp, frame.channel);
    }
    loop_timer_start(intake->again, 0);
    return true;
}

static void read_and_turn(struct intake *intake)
{
    if (connected(intake) && !intake->waiting && read_frames(intake))
        intake->options.on_turn(intake->options.arg);
}

static void on_again(void *arg)
{
    read_and_turn(arg);
}

/* Writing */

/* Returns false when the connection is lost. */
static bool send_settlements(struct intake *intake)
{
    struct error err;
    if (settlements_send(&intake->settlements, &intake->connection, &err) != 0) {
        fail(intake, err.message);
        return false;
    }
    bool stuck = intake->settlements.count > 0;
    if (stuck != intake->want_write) {
        intake->want_write = stuck;
        watch_as_wanted(intake);
    }
    return true;
}

void intake_flush(struct intake *intake)
{
    if (!connected(intake) || !send_settlements(intake))
        return;
    if (intake->waiting && !content_reader_must_wait(&intake->reader)) {
        intake->waiting = false;
        watch_as_wanted(intake);
        loop_timer_start(intake->again, 0);
    }
}

size_t intake_unsent(const struct intake *intake)
{
    return intake->settlements.count;
}

void intake_ack(struct intake *intake, uint64_t delivery_tag, bool multiple)
{
    settlements_add(&intake->settlements, multiple ? SETTLEMENT_ACK_MULTIPLE : SETTLEMENT_ACK,
                    delivery_tag);
}

void intake_requeue(struct intake *intake, uint64_t delivery_tag)
{
    settlements_add(&intake->settlements, SETTLEMENT_REQUEUE, delivery_tag);
}

/* Events */

static void on_ready(void *arg, bool readable, bool writable)
{
    struct intake *intake = arg;
    if (readable)
        intake->heard_ms = clock_monotonic_ms();
    if (writable && !send_settlements(intake))
        return;
    if (readable)
        read_and_turn(intake);
}

static bool writable_now(const struct intake *intake)
{
    struct pollfd pollfd = {.fd = intake->connection.fd, .events = POLLOUT};
    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLOUT) != 0;
}

/* While nothing is read, librabbitmq sends no heartbeats. */
static void beat(struct intake *intake, int64_t now_ms)
{
    if (now_ms - intake->heartbeat_ms < HEARTBEAT_MS)
        return;
    intake->heartbeat_ms = now_ms;
    intake->heard_ms = now_ms; /* nobody listens: silence means nothing */
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEARTBEAT, .channel = 0};
    if (amqp_send_frame(intake->connection.amqp, &frame) != AMQP_STATUS_OK)
        fail(intake, "cannot send a heartbeat");
}

/* Returns false when the connection is lost. */
static bool ask_for_consumers(struct intake *intake, int64_t now_ms)
{
    struct error err;
    if (intake->state != INTAKE_CONSUMING || now_ms - intake->asked_ms < ASK_EVERY_MS)
        return true;
    intake->asked_ms = now_ms;
    if (queue_ask(&intake->connection, intake->options.queue, &err) == 0)
        return true;
    fail(intake, err.message);
    return false;
}

static void on_tick(void *arg)
{
    struct intake *intake = arg;
    int64_t now_ms = clock_monotonic_ms();
    loop_timer_start(intake->tick, TICK_MS);
    if (writable_now(intake))
        intake->unwritable_since_ms = 0;
    else if (intake->unwritable_since_ms == 0)
        intake->unwritable_since_ms = now_ms;

    if (intake->unwritable_since_ms != 0 &&
        now_ms - intake->unwritable_since_ms > UNWRITABLE_LIMIT_MS)
        fail(intake, "the broker takes no more data");
    else if (intake->unwritable_since_ms != 0)
        return;
    else if (intake->waiting)
        beat(intake, now_ms);
    else if (now_ms - intake->heard_ms > SILENCE_LIMIT_MS)
        fail(intake, "the broker is silent");
    else if (ask_for_consumers(intake, now_ms))
        read_and_turn(intake); /* sends a heartbeat when one is due */
}

/* Connecting */

/* Neither waits for an answer: frames are sent, their answers read like all others. */
static int consume(struct intake *intake, struct error *err)
{
    amqp_basic_qos_t qos = {.prefetch_count = intake->options.prefetch};
    amqp_basic_consume_t consume = {
        .queue = amqp_cstring_bytes(intake->options.queue),
        .consumer_tag = amqp_cstring_bytes(CONSUMER_TAG),
        .nowait = 1,
    };
    amqp_connection_state_t amqp = intake->connection.amqp;
    int status = amqp_send_method(amqp, BROKER_CHANNEL, AMQP_BASIC_QOS_METHOD, &qos);
    if (status == AMQP_STATUS_OK)
        status = amqp_send_method(amqp, BROKER_CHANNEL, AMQP_BASIC_CONSUME_METHOD, &consume);
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "cannot consume: %s", amqp_error_string2(status));
    return -1;
}

static void attempt_failed(struct intake *intake, const char *reason)
{
    static struct log_limit limit;
    broker_disconnect(&intake->connection, false);
    set_state(intake, INTAKE_DOWN);
    (void)health_set(intake->health, false, reason); /* logged below */
    log_warn_limited(&limit, "cannot consume the order queue", log_text("reason", reason));
    loop_timer_start(intake->retry, backoff_next_ms(&intake->backoff, arc4random()));
}

static void on_attempt_ended(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct intake *intake = arg;
    struct error err;
    bool differs = false;
    loop_watch_free(intake->watch);
    intake->watch = NULL;
    int failed = connection_attempt_finish(intake->attempt, &intake->connection, &differs, &err);
    intake->attempt = NULL;
    if (failed || consume(intake, &err) != 0) {
        attempt_failed(intake, err.message);
        return;
    }

    set_state(intake, INTAKE_CONSUMING);
    int64_t now_ms = clock_monotonic_ms();
    intake->up_since_ms = intake->heard_ms = intake->heartbeat_ms = intake->asked_ms = now_ms;
    intake->unwritable_since_ms = 0;
    intake->watch = event_loop_watch(intake->loop, intake->connection.fd, on_ready, intake);
    loop_watch_want(intake->watch, true, false);
    loop_timer_start(intake->tick, TICK_MS);
    metric_add(intake->connects, 1);
    (void)health_set(intake->health, true, NULL); /* logged here */
    log_info("consuming the order queue", log_text("queue", intake->options.queue),
             log_number("prefetch", intake->options.prefetch));
    if (differs)
        log_warn("the queue exists with another type: that one is used",
                 log_text("queue", intake->options.queue));
    intake->options.on_connection(intake->options.arg, ++intake->epoch);
    read_and_turn(intake);
}

static void on_retry(void *arg)
{
    struct intake *intake = arg;
    struct error err;
    intake->attempt = connection_attempt_start(&intake->options.broker, intake->options.queue,
                                               intake->options.queue_type, false, &err);
    if (intake->attempt == NULL) {
        attempt_failed(intake, err.message);
        return;
    }
    set_state(intake, INTAKE_CONNECTING);
    intake->watch = event_loop_watch(intake->loop, connection_attempt_fd(intake->attempt),
                                     on_attempt_ended, intake);
    loop_watch_want(intake->watch, true, false);
}

/* Life */

struct intake *intake_new(struct event_loop *loop, const struct intake_options *options)
{
    struct intake *intake = memory_new(sizeof *intake);
    intake->options = *options;
    intake->loop = loop;
    intake->state = INTAKE_DOWN;
    intake->backoff = reconnect_backoff;
    intake->connection.fd = -1;
    intake->retry = event_loop_timer(loop, on_retry, intake);
    intake->tick = event_loop_timer(loop, on_tick, intake);
    intake->again = event_loop_timer(loop, on_again, intake);
    content_reader_init(&intake->reader);
    settlements_init(&intake->settlements, options->prefetch);
    intake->health = health_check("rabbitmq", HEALTH_REQUIRED);
    intake->connects = metric_counter("bridge_intake_connects_total", NULL,
                                      "Connections that consumed the order queue.");
    intake->losses = metric_counter("bridge_intake_losses_total", NULL,
                                    "Consuming connections that were lost or given up.");
    intake->redelivered = metric_counter("bridge_redelivered_total", NULL,
                                         "Messages that had been delivered before.");
    return intake;
}

void intake_start(struct intake *intake)
{
    loop_timer_start(intake->retry, 0);
}

void intake_renew(struct intake *intake)
{
    if (connected(intake))
        lose(intake, "orders are held for too long: consuming again", 0);
}

void intake_cancel(struct intake *intake)
{
    intake->stopping = true;
    loop_timer_stop(intake->retry);
    switch (intake->state) {
    case INTAKE_DOWN:
    case INTAKE_CANCELLED:
        return;
    case INTAKE_CONNECTING:
        connection_attempt_abandon(intake->attempt);
        intake->attempt = NULL;
        set_state(intake, INTAKE_DOWN);
        return;
    case INTAKE_CONSUMING:
        break;
    }
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(CONSUMER_TAG), .nowait = 1};
    if (writable_now(intake) &&
        amqp_send_method(intake->connection.amqp, BROKER_CHANNEL, AMQP_BASIC_CANCEL_METHOD,
                         &cancel) == AMQP_STATUS_OK)
        set_state(intake, INTAKE_CANCELLED);
    else
        fail(intake, "cannot cancel");
}

void intake_free(struct intake *intake)
{
    if (intake == NULL)
        return;
    bool politely = connected(intake) && writable_now(intake);
    connection_attempt_abandon(intake->attempt);
    set_state(intake, INTAKE_DOWN);
    broker_disconnect(&intake->connection, politely);
    loop_timer_free(intake->retry);
    loop_timer_free(intake->tick);
    loop_timer_free(intake->again);
    content_reader_release(&intake->reader);
    settlements_release(&intake->settlements);
    free(intake);
}
