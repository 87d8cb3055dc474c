/* What a batch writes is what librabbitmq would send, byte for byte. */
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/publish_batch.h"
#include "services/clients/rabbitmq/publisher.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAME_MAX 8192

static struct broker_connection connection;
static int peer;
static struct publish_batch batch;

/* A connection without a broker. */
static int set_up(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    connection = (struct broker_connection){.amqp = amqp_new_connection(), .fd = pair[0]};
    peer = pair[1];
    amqp_tcp_socket_set_sockfd(amqp_tcp_socket_new(connection.amqp), pair[0]);
    assert_int_equal(send(peer, "AMQP\0\0\x09\x01", 8, 0), 8); /* librabbitmq begins to work then */
    amqp_frame_t frame;
    assert_int_equal(amqp_simple_wait_frame_noblock(connection.amqp, &frame, &(struct timeval){0}),
                     AMQP_STATUS_OK);
    assert_int_equal(amqp_tune_connection(connection.amqp, 1, FRAME_MAX, 0), AMQP_STATUS_OK);
    batch.len = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(peer);
    broker_disconnect(&connection, false); /* closes the other end */
    return 0;
}

static size_t received(char *bytes, size_t size)
{
    ssize_t len = recv(peer, bytes, size, MSG_DONTWAIT);
    assert_true(len > 0);
    return (size_t)len;
}

static amqp_table_entry_t entries[] = {
    {.key = {.len = 11, .bytes = "traceparent"},
     .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = {.len = 5, .bytes = "00-01"}}}},
    {.key = {.len = 11, .bytes = "x-replay-of"},
     .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = -7}}},
};
static const amqp_table_t headers = {.num_entries = 2, .entries = entries};
static char large[FRAME_MAX];

static void test_same_bytes(void **state)
{
    (void)state;
    const struct publish_request requests[] = {
        {.routing_key = "order_queue",
         .content_type = "application/json",
         .body = "{}",
         .body_len = 2,
         .message_id = "0190c1f0-1111-7222-8333-444455556666",
         .headers = &headers},
        {.routing_key = "q", .content_type = "text/plain", .body = "x", .body_len = 1},
        {.routing_key = "empty",
         .content_type = "",
         .body = "",
         .body_len = 0,
         .headers = &headers},
        {.routing_key = "largest", .content_type = "a", .body = large, .body_len = FRAME_MAX - 8},
    };
    const size_t count = sizeof requests / sizeof requests[0];
    static char expected[4 * FRAME_MAX], written[4 * FRAME_MAX];
    for (size_t i = 0; i < count; i++)
        assert_int_equal(publish_message(connection.amqp, &requests[i]), AMQP_STATUS_OK);
    size_t expected_len = received(expected, sizeof expected);

    for (size_t i = 0; i < count; i++)
        assert_true(publish_batch_add(&batch, &connection, &requests[i]));
    assert_int_equal(publish_batch_write(&batch, &connection), AMQP_STATUS_OK);
    assert_int_equal(batch.len, 0);
    assert_int_equal(received(written, sizeof written), expected_len);
    assert_memory_equal(written, expected, expected_len);
}

/* What does not fit changes nothing of what is there. */
static void test_limits(void **state)
{
    (void)state;
    struct publish_request request = {
        .routing_key = "q", .content_type = "a", .body = large, .body_len = 500};
    size_t count = 0;
    while (publish_batch_add(&batch, &connection, &request))
        count++;
    assert_in_range(count, 25, 32);
    batch.len = 0;
    request.body_len = FRAME_MAX - 7;
    assert_false(publish_batch_add(&batch, &connection, &request));
    request.body_len = 1;
    connection.tls = true;
    assert_false(publish_batch_add(&batch, &connection, &request));
    connection.tls = false;
    for (size_t room = 0; room < 64; room++) { /* wherever the end is */
        batch.len = sizeof batch.bytes - room;
        if (!publish_batch_add(&batch, &connection, &request))
            assert_int_equal(batch.len, sizeof batch.bytes - room);
    }
}

static void test_lost_connection(void **state)
{
    (void)state;
    const struct publish_request request = {
        .routing_key = "q", .content_type = "a", .body = "x", .body_len = 1};
    assert_true(publish_batch_add(&batch, &connection, &request));
    assert_int_equal(shutdown(peer, SHUT_RDWR), 0);
    assert_int_equal(publish_batch_write(&batch, &connection), AMQP_STATUS_SOCKET_ERROR);
    assert_int_equal(batch.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_connection, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
