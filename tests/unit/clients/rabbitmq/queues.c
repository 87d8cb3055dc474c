#include "tests/unit/clients/rabbitmq/queues.h"
#include "services/clients/rabbitmq/connection.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/run_loop.h"
#include <stdlib.h>
#include <sys/time.h>

static struct broker_connection connect_plain(void)
{
    struct broker_options options = {.url = rabbitmq_server_url(), .name = "test"};
    struct broker_connection connection;
    struct error err;
    if (broker_connect(&options, &connection, &err) != 0)
        fail_msg("%s", err.message);
    return connection;
}

unsigned queue_depth(const char *queue)
{
    struct broker_connection connection = connect_plain();
    const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
        connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), 1, 1, 0, 0, amqp_empty_table);
    assert_non_null(ok);
    unsigned depth = ok->message_count;
    broker_disconnect(&connection, true);
    return depth;
}

void queue_delete(const char *queue)
{
    struct broker_connection connection = connect_plain();
    assert_non_null(
        amqp_queue_delete(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), 0, 0));
    broker_disconnect(&connection, true);
}

void queue_publish(const char *queue, const void *body, size_t body_len)
{
    struct broker_connection connection = connect_plain();
    assert_int_equal(
        amqp_basic_publish(connection.amqp, BROKER_CHANNEL, amqp_empty_bytes,
                           amqp_cstring_bytes(queue), 0, 0, NULL,
                           (amqp_bytes_t){.len = body_len, .bytes = (void *)(uintptr_t)body}),
        AMQP_STATUS_OK);
    broker_disconnect(&connection, true);
}

void queue_publish_grown(const char *queue)
{
    enum { FRAME_MAX = 131072, LEN = FRAME_MAX - 60 };
    struct broker_connection connection = connect_plain();
    amqp_table_entry_t arguments[] = {
        {.key = amqp_cstring_bytes("x-message-ttl"),
         .value = {.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = 0}}},
        {.key = amqp_cstring_bytes("x-dead-letter-exchange"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes("")}}},
        {.key = amqp_cstring_bytes("x-dead-letter-routing-key"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(queue)}}},
    };
    amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(connection.amqp, BROKER_CHANNEL, amqp_empty_bytes, 0, 0, 1, 1,
                           (amqp_table_t){.num_entries = 3, .entries = arguments});
    assert_non_null(ok);
    char *text = calloc(1, LEN);
    assert_non_null(text);
    amqp_table_entry_t header = {
        .key = amqp_cstring_bytes("k"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = {.len = LEN, .bytes = text}}}};
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                          .headers = {.num_entries = 1, .entries = &header}};
    assert_int_equal(amqp_basic_publish(connection.amqp, BROKER_CHANNEL, amqp_empty_bytes,
                                        ok->queue, 0, 0, &properties, amqp_cstring_bytes("large")),
                     AMQP_STATUS_OK);
    free(text);
    wait_until(queue_depth(queue) > 0, (void)0);
    broker_disconnect(&connection, true);
}

void queue_drain(const char *queue, void (*on_message)(void *arg, const char *id, size_t id_len),
                 void *arg)
{
    unsigned depth = queue_depth(queue);
    struct broker_connection connection = connect_plain();
    assert_non_null(amqp_basic_consume(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue),
                                       amqp_empty_bytes, 0, /* no_ack */ 1, 0, amqp_empty_table));
    for (; depth > 0; depth--) {
        amqp_envelope_t envelope;
        struct timeval limit = {.tv_sec = 5};
        amqp_rpc_reply_t reply = amqp_consume_message(connection.amqp, &envelope, &limit, 0);
        assert_int_equal(broker_check(reply, "consume", NULL), 0);
        amqp_bytes_t id = envelope.message.properties.message_id;
        on_message(arg, id.bytes, id.len);
        amqp_destroy_envelope(&envelope);
        amqp_maybe_release_buffers(connection.amqp);
    }
    broker_disconnect(&connection, true);
}
