/* Consumes the order queue on a supervised connection (link.h). What the flow settles is sent when
 * the socket takes it.
 *
 * The broker is asked now and then whether it still knows a consumer: when somebody deletes a
 * quorum queue and declares it again at once, it may never say so (QUEUE_GONE_PAUSE_MS tells more),
 * and the orders would wait for ever. */
#include "services/bridge/intake.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/bridge/settlements.h"
#include "services/clients/rabbitmq/content_reader.h"
#include "services/runtime/health.h"
#include <assert.h>
#include <stdlib.h>

#define CONSUMER_TAG "bridge"

enum intake_state {
    INTAKE_DOWN,
    INTAKE_CONSUMING,
    INTAKE_CANCELLED, /* consuming no more, but connected */
};

struct intake {
    struct intake_options options;
    struct broker_link *link;
    enum intake_state state;
    uint64_t epoch;
    struct content_reader reader;
    struct content_budget budget;
    struct settlements settlements;
    struct health_check *health;
    struct metric_counter *connects, *losses, *redelivered;
};

/* Up and down */

/* Neither waits for an answer: frames are sent, their answers read like all others. */
static int consume(const struct intake *intake, struct error *err)
{
    amqp_basic_qos_t qos = {.prefetch_count = intake->options.prefetch};
    amqp_basic_consume_t consume = {
        .queue = amqp_cstring_bytes(intake->options.queue),
        .consumer_tag = amqp_cstring_bytes(CONSUMER_TAG),
        .nowait = 1,
    };
    amqp_connection_state_t amqp = broker_link_connection(intake->link)->amqp;
    int status = amqp_send_method(amqp, BROKER_CHANNEL, AMQP_BASIC_QOS_METHOD, &qos);
    if (status == AMQP_STATUS_OK)
        status = amqp_send_method(amqp, BROKER_CHANNEL, AMQP_BASIC_CONSUME_METHOD, &consume);
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "cannot consume: %s", amqp_error_string2(status));
    return -1;
}

static void on_up(void *arg, const char *warning)
{
    struct intake *intake = arg;
    struct error err;
    if (consume(intake, &err) != 0) {
        broker_link_drop(intake->link, err.message, BROKER_LINK_POLICY);
        return;
    }
    intake->state = INTAKE_CONSUMING;
    metric_add(intake->connects, 1);
    (void)health_set(intake->health, true, NULL); /* logged here */
    log_info("consuming the order queue", log_text("queue", intake->options.queue),
             log_number("prefetch", intake->options.prefetch));
    if (warning)
        log_warn("the order queue differs", log_text("reason", warning));
    intake->options.on_connection(intake->options.arg, ++intake->epoch);
}

static void on_down(void *arg, const char *reason)
{
    struct intake *intake = arg;
    bool was_up = intake->state != INTAKE_DOWN;
    bool changed = health_set(intake->health, false, reason);
    if (changed)
        log_warn("no connection to the order queue", log_text("reason", reason));
    intake->state = INTAKE_DOWN;
    settlements_clear(&intake->settlements);
    content_reader_reset(&intake->reader);
    if (was_up)
        metric_add(intake->losses, 1);
    if (was_up || changed)
        intake->options.on_connection(intake->options.arg, 0);
}

/* Reading */

static int take_content(struct intake *intake, const amqp_frame_t *frame, struct error *err)
{
    struct content *content;
    uint64_t delivery_tag;
    if (content_reader_add(&intake->reader, frame, &content, &delivery_tag, err) != 0)
        return -1;
    if (content_reader_must_wait(&intake->reader))
        broker_link_pause(intake->link, true);
    if (content == NULL)
        return 0;
    if (intake->reader.redelivered)
        metric_add(intake->redelivered, 1);
    content_decode(content);
    if (intake->options.on_delivery(intake->options.arg, delivery_tag, content) == 0)
        return 0;
    error_set(err, "the broker delivered what it must not");
    return -1;
}

static int on_frame(void *arg, const amqp_frame_t *frame, struct error *err)
{
    struct intake *intake = arg;
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return take_content(intake, frame, err);
    if (frame->payload.method.id == AMQP_BASIC_DELIVER_METHOD)
        return content_reader_begin(&intake->reader, frame->payload.method.decoded, err);
    if (frame->payload.method.id == AMQP_BASIC_QOS_OK_METHOD)
        return 0;
    error_set(err, "the broker sent an unexpected method");
    return -1;
}

static void on_counts(void *arg, const amqp_queue_declare_ok_t *counts)
{
    const struct intake *intake = arg;
    if (intake->state == INTAKE_CONSUMING && counts->message_count > 0 &&
        counts->consumer_count == 0)
        broker_link_drop(intake->link, "the broker has forgotten the consumer", BROKER_LINK_POLICY);
}

static void on_turn(void *arg)
{
    const struct intake *intake = arg;
    intake->options.on_turn(intake->options.arg);
}

/* Settling */

void intake_ack(struct intake *intake, uint64_t delivery_tag, bool multiple)
{
    settlements_add(&intake->settlements, multiple ? SETTLEMENT_ACK_MULTIPLE : SETTLEMENT_ACK,
                    delivery_tag);
}

void intake_requeue(struct intake *intake, uint64_t delivery_tag)
{
    settlements_add(&intake->settlements, SETTLEMENT_REQUEUE, delivery_tag);
}

void intake_flush(struct intake *intake)
{
    struct error err;
    if (intake->state == INTAKE_DOWN)
        return;
    if (settlements_send(&intake->settlements, intake->link, &err) != 0)
        broker_link_drop(intake->link, err.message, BROKER_LINK_POLICY);
    else if (!content_reader_must_wait(&intake->reader))
        broker_link_pause(intake->link, false);
}

size_t intake_unsent(const struct intake *intake)
{
    return intake->settlements.count;
}

/* Life */

struct intake *intake_new(struct event_loop *loop, const struct intake_options *options)
{
    struct intake *intake = memory_new(sizeof *intake);
    intake->options = *options;
    intake->state = INTAKE_DOWN;
    intake->link = broker_link_new(loop, &(struct broker_link_options){
                                             .broker = options->broker,
                                             .queue = options->queue,
                                             .queue_type = options->queue_type,
                                             .consumes = true,
                                             .ask_queues = 1,
                                             .on_up = on_up,
                                             .on_down = on_down,
                                             .on_counts = on_counts,
                                             .on_frame = on_frame,
                                             .on_turn = on_turn,
                                             .arg = intake,
                                         });
    intake->budget.limit_bytes = INTAKE_LARGE_BYTES;
    content_reader_init(&intake->reader, &intake->budget);
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
    broker_link_hold(intake->link, false);
}

void intake_renew(struct intake *intake)
{
    broker_link_drop(intake->link, "orders are held for too long: consuming again", 0);
}

void intake_cancel(struct intake *intake)
{
    broker_link_hold(intake->link, true);
    if (intake->state != INTAKE_CONSUMING)
        return;
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(CONSUMER_TAG), .nowait = 1};
    if (broker_link_writable(intake->link) &&
        amqp_send_method(broker_link_connection(intake->link)->amqp, BROKER_CHANNEL,
                         AMQP_BASIC_CANCEL_METHOD, &cancel) == AMQP_STATUS_OK)
        intake->state = INTAKE_CANCELLED;
    else
        broker_link_drop(intake->link, "cannot cancel", BROKER_LINK_POLICY);
}

void intake_free(struct intake *intake)
{
    if (intake == NULL)
        return;
    broker_link_free(intake->link);
    content_reader_release(&intake->reader);
    assert(intake->budget.large_bytes == 0);
    settlements_release(&intake->settlements);
    free(intake);
}
