#include "services/clients/rabbitmq/queue_declaration.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include <pthread.h>
#include <string.h>

static struct broker_connection connect_test(void)
{
    struct broker_options options = {.url = rabbitmq_server_url(), .name = "test"};
    struct broker_connection connection;
    struct error err;
    if (broker_connect(&options, &connection, &err) != 0)
        fail_msg("%s", err.message);
    return connection;
}

/* Returns whether the existing queue differed. */
static bool declare(const char *queue, enum queue_type type)
{
    struct broker_connection connection = connect_test();
    bool differs = false;
    struct error err;
    if (queue_declare(&connection, queue, type, &differs, &err) != 0)
        fail_msg("%s", err.message);
    /* The channel is usable afterwards. */
    amqp_confirm_select(connection.amqp, BROKER_CHANNEL);
    assert_int_equal(broker_check(amqp_get_rpc_reply(connection.amqp), "confirm", &err), 0);
    broker_disconnect(&connection, true);
    return differs;
}

/* As a program declares it that knows nothing of ours; returns the reply code, 0 when it agrees. */
static unsigned declare_by_hand(const char *queue, const char *type)
{
    struct broker_connection connection = connect_test();
    amqp_table_entry_t entries[] = {
        {.key = amqp_cstring_bytes("x-queue-type"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(type)}}},
        /* RabbitMQ 4 limits the deliveries unless told not to. */
        {.key = amqp_cstring_bytes("x-delivery-limit"),
         .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = -1}}}};
    int quorum_arguments = connection.server_major >= 4 ? 2 : 1;
    amqp_table_t arguments = {.num_entries = strcmp(type, "classic") ? quorum_arguments : 0,
                              .entries = entries};
    amqp_queue_declare(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
                       arguments);
    unsigned code = broker_reply_code(amqp_get_rpc_reply(connection.amqp));
    broker_disconnect(&connection, false);
    return code;
}

static void publish_by_hand(const char *queue)
{
    struct broker_connection connection = connect_test();
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = 2};
    assert_int_equal(amqp_basic_publish(connection.amqp, BROKER_CHANNEL, amqp_empty_bytes,
                                        amqp_cstring_bytes(queue), 0, 0, &properties,
                                        amqp_cstring_bytes("{}")),
                     0);
    broker_disconnect(&connection, true);
}

/* Take one message and, without acknowledging it, reject or lose the connection. */
static bool get_and_drop(const char *queue, bool reject)
{
    struct broker_connection connection = connect_test();
    amqp_rpc_reply_t reply =
        amqp_basic_get(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), 0);
    bool found =
        reply.reply_type == AMQP_RESPONSE_NORMAL && reply.reply.id == AMQP_BASIC_GET_OK_METHOD;
    if (found && reject)
        amqp_basic_reject(connection.amqp, BROKER_CHANNEL,
                          ((amqp_basic_get_ok_t *)reply.reply.decoded)->delivery_tag, 0);
    broker_disconnect(&connection, reject);
    return found;
}

static void wait_for_depth(const char *queue, unsigned depth)
{
    for (int i = 0; i < 100 && queue_depth(queue) != depth; i++)
        continue; /* each look is a few milliseconds */
    assert_int_equal(queue_depth(queue), depth);
}

static void declares_absent_queues(void **state)
{
    (void)state;
    assert_false(declare("new-quorum", QUEUE_QUORUM));
    assert_false(declare("new-quorum", QUEUE_QUORUM));
    assert_int_equal(queue_depth("new-quorum.dead"), 0);
    assert_int_equal(declare_by_hand("new-quorum.dead", "quorum"), 0);
    assert_int_equal(declare_by_hand("new-quorum", "classic"), AMQP_PRECONDITION_FAILED);

    assert_false(declare("new-classic", QUEUE_CLASSIC));
    assert_false(declare("new-classic", QUEUE_CLASSIC));
    assert_int_equal(declare_by_hand("new-classic", "classic"), 0);
    assert_int_equal(declare_by_hand("new-classic.dead", "classic"), 0);
}

static void takes_existing_queues_of_another_type(void **state)
{
    (void)state;
    assert_int_equal(declare_by_hand("foreign-classic", "classic"), 0);
    assert_true(declare("foreign-classic", QUEUE_QUORUM));
    assert_int_equal(declare_by_hand("foreign-classic", "classic"), 0);

    assert_int_equal(declare_by_hand("foreign-quorum", "quorum"), 0);
    assert_true(declare("foreign-quorum", QUEUE_CLASSIC));
    assert_int_equal(declare_by_hand("foreign-quorum", "quorum"), 0);
}

static void quorum_queues_dead_letter_and_never_drop(void **state)
{
    (void)state;
    assert_false(declare("orders", QUEUE_QUORUM));
    publish_by_hand("orders");
    wait_for_depth("orders", 1);
    for (int i = 0; i < 25; i++) {
        for (int tries = 0; tries < 100 && !get_and_drop("orders", false); tries++)
            continue; /* the broker takes a moment to requeue it */
    }
    wait_for_depth("orders", 1);
    assert_int_equal(queue_depth("orders.dead"), 0);
    assert_true(get_and_drop("orders", true));
    wait_for_depth("orders.dead", 1);
    assert_int_equal(queue_depth("orders"), 0);
}

static void *declare_concurrently(void *type)
{
    struct broker_options options = {.url = rabbitmq_server_url(), .name = "test"};
    struct broker_connection connection;
    struct error err;
    bool differs;
    if (broker_connect(&options, &connection, &err) != 0)
        return strdup(err.message);
    int failed = queue_declare(&connection, "race", *(enum queue_type *)type, &differs, &err);
    broker_disconnect(&connection, !failed);
    return failed ? strdup(err.message) : differs ? strdup("it differs") : NULL;
}

static void many_declare_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        enum queue_type type = round == 2 ? QUEUE_CLASSIC : QUEUE_QUORUM;
        enum { THREADS = 8 };
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, declare_concurrently, &type), 0);
        void *failed = NULL, *result;
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], &result);
            if (result)
                failed = result;
        }
        if (failed)
            fail_msg("%s", (char *)failed);
        queue_delete("race");
        queue_delete("race.dead");
    }
}

static void names_the_dead_letter_queue(void **state)
{
    (void)state;
    char dead[QUEUE_NAME_SIZE];
    dead_letter_queue_name("order_queue", dead);
    assert_string_equal(dead, "order_queue.dead");

    char longest[QUEUE_NAME_SIZE];
    memset(longest, 'q', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    dead_letter_queue_name(longest, dead);
    assert_int_equal(strlen(dead), QUEUE_NAME_SIZE - 1);
    struct broker_connection connection = connect_test();
    bool differs;
    assert_int_equal(queue_declare(&connection, longest, QUEUE_QUORUM, &differs, NULL), -1);
    broker_disconnect(&connection, true);
}

int run_queue_declaration_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declares_absent_queues),
        cmocka_unit_test(takes_existing_queues_of_another_type),
        cmocka_unit_test(quorum_queues_dead_letter_and_never_drop),
        cmocka_unit_test(many_declare_at_once),
        cmocka_unit_test(names_the_dead_letter_queue),
    };
    return cmocka_run_group_tests_name("queue_declaration", tests, NULL, NULL);
}
