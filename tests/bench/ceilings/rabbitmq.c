/* librabbitmq alone: one connection, one thread. */
#include "proto/order_json.h"
#include "services/base/clock.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include "tests/bench/ceilings/ceilings.h"
#include <stdlib.h>
#include <string.h>

#define PREFETCH 2000
#define SILENCE_S 30 /* the longest wait for a frame */

static void check(amqp_connection_state_t amqp, const char *doing)
{
    struct error err;
    if (broker_check(amqp_get_rpc_reply(amqp), doing, &err) != 0)
        die("rabbitmq", err.message);
}

static struct broker_connection connect_broker(void)
{
    struct broker_connection connection;
    struct error err;
    struct broker_options options = {.url = setting("RABBITMQ_URL"), .name = "ceilings"};
    if (broker_connect(&options, &connection, &err) != 0)
        die("rabbitmq", err.message);
    /* The blocking calls below bring their own deadlines. */
    amqp_set_rpc_timeout(connection.amqp, &(struct timeval){.tv_sec = SILENCE_S});
    return connection;
}

/* Which messages are confirmed: a confirm is for one, or (multiple) for all up to it. */
struct confirms {
    int64_t *sent_us;    /* by delivery tag; 0 when it is confirmed */
    int64_t *latency_us; /* in the order of confirming */
    uint64_t all_up_to;
    uint64_t sent;
    long count;
};

static void confirm(struct confirms *confirms, const amqp_basic_ack_t *ack)
{
    int64_t now_us = clock_monotonic_us();
    uint64_t first = ack->multiple ? confirms->all_up_to + 1 : ack->delivery_tag;
    if (ack->delivery_tag > confirms->sent)
        die("publish", "a confirm of what was not sent");
    for (uint64_t tag = first; tag <= ack->delivery_tag; tag++) {
        if (confirms->sent_us[tag] == 0)
            continue;
        confirms->latency_us[confirms->count++] = now_us - confirms->sent_us[tag];
        confirms->sent_us[tag] = 0;
    }
    if (ack->multiple && ack->delivery_tag > confirms->all_up_to)
        confirms->all_up_to = ack->delivery_tag;
}

/* Reads frames until no more are there; waits for the first one. */
static void read_confirms(amqp_connection_state_t amqp, struct confirms *confirms)
{
    struct timeval timeout = {.tv_sec = SILENCE_S};
    amqp_frame_t frame;
    int status;
    while ((status = amqp_simple_wait_frame_noblock(amqp, &frame, &timeout)) == AMQP_STATUS_OK) {
        timeout = (struct timeval){0};
        if (frame.frame_type != AMQP_FRAME_METHOD ||
            frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            die("publish", "the broker answers something else than a confirm");
        confirm(confirms, frame.payload.method.decoded);
        amqp_maybe_release_buffers(amqp);
    }
    if (status != AMQP_STATUS_TIMEOUT)
        die("publish", amqp_error_string2(status));
    if (timeout.tv_sec != 0)
        die("publish", "no confirm in time");
}

static void publish_one(amqp_connection_state_t amqp, const char *queue, long number)
{
    struct order order;
    char json[ORDER_JSON_SIZE], id[ORDER_ID_TEXT_LEN + 1];
    make_order(&order, number);
    order_id_format(&order.id, id);
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG |
                                                    AMQP_BASIC_CONTENT_TYPE_FLAG |
                                                    AMQP_BASIC_MESSAGE_ID_FLAG,
                                          .delivery_mode = AMQP_DELIVERY_PERSISTENT,
                                          .content_type = amqp_cstring_bytes("application/json"),
                                          .message_id = amqp_cstring_bytes(id)};
    amqp_bytes_t body = {.len = order_to_json(&order, json), .bytes = json};
    int status =
        amqp_basic_publish(amqp, BROKER_CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(queue),
                           /* mandatory */ 1, /* immediate */ 0, &properties, body);
    if (status != AMQP_STATUS_OK)
        die("publish", amqp_error_string2(status));
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

struct latency publish_confirmed(const char *queue, const char *type, long window, long count)
{
    struct broker_connection connection = connect_broker();
    struct error err;
    struct queue_differences differences;
    enum queue_type queue_type = strcmp(type, "classic") == 0 ? QUEUE_CLASSIC : QUEUE_QUORUM;
    if (queue_declare(&connection, queue, queue_type, &differences, &err) != 0)
        die("rabbitmq", err.message);
    if (differences.orders.differs)
        die(queue, "exists with another type");
    amqp_confirm_select(connection.amqp, BROKER_CHANNEL);
    check(connection.amqp, "confirm.select");

    size_t slots = (size_t)count + 1;
    struct confirms confirms = {.sent_us = calloc(slots, sizeof(int64_t)),
                                .latency_us = calloc(slots, sizeof(int64_t))};
    if (!confirms.sent_us || !confirms.latency_us)
        die("publish", "out of memory");
    while (confirms.count < count) {
        while ((long)confirms.sent < count && (long)confirms.sent - confirms.count < window) {
            confirms.sent_us[++confirms.sent] = clock_monotonic_us();
            publish_one(connection.amqp, queue, (long)confirms.sent);
        }
        read_confirms(connection.amqp, &confirms);
    }
    broker_disconnect(&connection, true);
    qsort(confirms.latency_us, (size_t)count, sizeof(int64_t), compare);
    struct latency latency = {.p50_ms = (double)confirms.latency_us[count / 2] / 1000,
                              .p99_ms =
                                  (double)confirms.latency_us[count - 1 - count / 100] / 1000};
    free(confirms.sent_us);
    free(confirms.latency_us);
    return latency;
}

void consume_acknowledged(const char *queue, long count)
{
    struct broker_connection connection = connect_broker();
    amqp_connection_state_t amqp = connection.amqp;
    amqp_basic_qos(amqp, BROKER_CHANNEL, 0, PREFETCH, 0);
    check(amqp, "qos");
    amqp_basic_consume(amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check(amqp, "consume");
    for (long i = 1; i <= count; i++) {
        amqp_envelope_t envelope;
        struct timeval timeout = {.tv_sec = SILENCE_S};
        struct error err;
        if (broker_check(amqp_consume_message(amqp, &envelope, &timeout, 0), "consume", &err) != 0)
            die("rabbitmq", err.message);
        if (i % CEILING_BATCH == 0 || i == count) {
            int status = amqp_basic_ack(amqp, BROKER_CHANNEL, envelope.delivery_tag, 1);
            if (status != AMQP_STATUS_OK)
                die("ack", amqp_error_string2(status));
        }
        amqp_destroy_envelope(&envelope);
        amqp_maybe_release_buffers(amqp);
    }
    broker_disconnect(&connection, true);
}
