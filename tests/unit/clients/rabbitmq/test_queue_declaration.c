#include "services/clients/rabbitmq/queue_declaration.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include "tests/unit/support/metric_now.h"
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

/* How the existing queues differ for what believes to talk to this version. */
static struct queue_differences differences(const char *queue, enum queue_type type, unsigned major)
{
    struct broker_connection connection = connect_test();
    struct queue_differences differences;
    struct error err;
    if (major > 0)
        connection.server_major = major;
    if (queue_declare(&connection, queue, type, &differences, &err) != 0)
        fail_msg("%s", err.message);
    /* The channel is usable afterwards. */
    amqp_confirm_select(connection.amqp, BROKER_CHANNEL);
    assert_int_equal(broker_check(amqp_get_rpc_reply(connection.amqp), "confirm", &err), 0);
    broker_disconnect(&connection, true);
    return differences;
}

/* Returns whether an existing queue differed. */
static bool declare(const char *queue, enum queue_type type)
{
    struct queue_differences found = differences(queue, type, 0);
    return found.orders.differs || found.letters.differs;
}

static amqp_table_entry_t text_argument(const char *key, const char *text)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(text)}}};
}

static amqp_table_entry_t number_argument(const char *key, int64_t number)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = number}}};
}

static unsigned declare_with(const char *queue, amqp_table_entry_t *entries, int count)
{
    struct broker_connection connection = connect_test();
    amqp_queue_declare(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
                       (amqp_table_t){.num_entries = count, .entries = entries});
    unsigned code = broker_reply_code(amqp_get_rpc_reply(connection.amqp));
    broker_disconnect(&connection, false);
    return code;
}

/* As a program declares it that knows nothing of ours; returns the reply code, 0 when it agrees. */
static unsigned declare_by_hand(const char *queue, const char *type)
{
    struct broker_connection connection = connect_test();
    unsigned major = connection.server_major;
    broker_disconnect(&connection, true);
    amqp_table_entry_t entries[] = {text_argument("x-queue-type", type),
                                    /* RabbitMQ 4 limits the deliveries unless told not to. */
                                    number_argument("x-delivery-limit", -1)};
    return declare_with(queue, entries, strcmp(type, "classic") == 0 ? 0 : major >= 4 ? 2 : 1);
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

/* As RabbitMQ 4 finds the queues that we have declared on RabbitMQ 3: -1 is no argument of theirs.
 */
static void tells_that_rabbitmq_4_limits_the_deliveries(void **state)
{
    (void)state;
    amqp_table_entry_t ours[] = {text_argument("x-queue-type", "quorum"),
                                 text_argument("x-dead-letter-exchange", ""),
                                 text_argument("x-dead-letter-routing-key", "upgraded.dead")};
    assert_int_equal(declare_with("upgraded", ours, 3), 0);
    assert_int_equal(declare_with("upgraded.dead", ours, 1), 0);
    struct queue_differences found = differences("upgraded", QUEUE_QUORUM, 3);
    assert_false(found.orders.differs || found.letters.differs);
    found = differences("upgraded", QUEUE_QUORUM, 4);
    assert_true(found.orders.delivery_limited && found.letters.delivery_limited);
    assert_false(found.orders.drops_messages);
    struct error warning;
    assert_true(queue_differences_report(&found, "upgraded", &warning));
    assert_non_null(strstr(warning.message, "queue upgraded gives a message up after 20"));
    assert_non_null(strstr(warning.message, "inequivalent arg 'x-delivery-limit'"));
    assert_true(metric_now("order_queue_delivery_limited{queue=\"upgraded\"}") == 1);
    assert_true(metric_now("dead_letter_queue_delivery_limited{queue=\"upgraded\"}") == 1);
    found = differences("upgraded", QUEUE_CLASSIC, 4); /* it is a quorum queue all the same */
    assert_true(found.orders.delivery_limited);

    /* With the limit lifted but without our dead letters, and only one of the two. */
    amqp_table_entry_t lifted[] = {text_argument("x-queue-type", "quorum"),
                                   number_argument("x-delivery-limit", -1)};
    assert_int_equal(declare_with("lifted", lifted, 2), 0);
    assert_int_equal(declare_with("lifted.dead", ours, 1), 0);
    found = differences("lifted", QUEUE_QUORUM, 4);
    assert_true(found.orders.differs && !found.orders.delivery_limited);
    assert_true(found.letters.delivery_limited);
    assert_true(queue_differences_report(&found, "lifted", &warning));
    assert_non_null(strstr(warning.message, "queue lifted.dead gives"));

    assert_int_equal(declare_by_hand("unlimited", "classic"), 0);
    found = differences("unlimited", QUEUE_QUORUM, 4);
    assert_true(found.orders.differs && !found.orders.delivery_limited);
}

static void tells_that_a_queue_drops_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t value;
    } dropping[] = {{"x-max-length", 10},
                    {"x-max-length-bytes", 100000},
                    {"x-message-ttl", 60000},
                    {"x-expires", 3600000}};
    for (size_t i = 0; i < sizeof dropping / sizeof dropping[0]; i++) {
        char name[64];
        struct error warning;
        /* Two more differences, which RabbitMQ names first. */
        amqp_table_entry_t arguments[] = {number_argument(dropping[i].name, dropping[i].value),
                                          text_argument("x-dead-letter-exchange", "amq.fanout"),
                                          number_argument("x-max-priority", 3)};
        (void)snprintf(name, sizeof name, "dropping-%zu", i);
        assert_int_equal(declare_with(name, arguments, 3), 0);
        for (enum queue_type type = QUEUE_QUORUM; type <= QUEUE_CLASSIC; type++) {
            struct queue_differences found = differences(name, type, 0);
            assert_true(found.orders.drops_messages);
            assert_true(queue_differences_report(&found, name, &warning));
            char words[128];
            (void)snprintf(words, sizeof words, "queue %s throws messages away: its %s is %lld",
                           name, dropping[i].name, (long long)dropping[i].value);
            assert_string_equal(warning.message, words);
        }
    }
}

/* By a user who may use the queues and not declare them: then nobody can tell. */
static void an_account_without_configure_permission(void **state)
{
    (void)state;
    assert_int_equal(declare_by_hand("granted", "classic"), 0);
    assert_int_equal(declare_by_hand("granted.dead", "classic"), 0);
    rabbitmq_server_ctl("add_user little secret");
    rabbitmq_server_ctl("set_permissions little '^$' '^amq\\.default$' '^granted$'");
    char url[64];
    (void)snprintf(url, sizeof url, "amqp://little:secret@127.0.0.1:%u/",
                   (unsigned)rabbitmq_server_port());
    struct broker_options options = {.url = url, .name = "test"};
    struct broker_connection connection;
    struct queue_differences found;
    struct error err;
    assert_int_equal(broker_connect(&options, &connection, &err), 0);
    if (queue_declare(&connection, "granted", QUEUE_QUORUM, &found, &err) != 0)
        fail_msg("%s", err.message);
    assert_false(found.orders.differs || found.letters.differs);
    assert_int_equal(queue_declare(&connection, "absent", QUEUE_QUORUM, &found, &err), -1);
    assert_non_null(strstr(err.message, "403"));
    broker_disconnect(&connection, false);
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
    struct queue_differences found;
    if (broker_connect(&options, &connection, &err) != 0)
        return strdup(err.message);
    int failed = queue_declare(&connection, "race", *(enum queue_type *)type, &found, &err);
    broker_disconnect(&connection, !failed);
    return failed ? strdup(err.message) : found.orders.differs ? strdup("it differs") : NULL;
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

static void labels_metrics_with_the_queue(void **state)
{
    (void)state;
    char label[QUEUE_LABEL_SIZE], quotes[QUEUE_NAME_SIZE];
    queue_label("a \"b\\", label);
    assert_string_equal(label, "queue=\"a \\\"b\\\\\"");
    memset(quotes, '"', sizeof quotes - 1);
    quotes[sizeof quotes - 1] = '\0';
    queue_label(quotes, label);
    assert_int_equal(strlen(label), QUEUE_LABEL_SIZE - 1);
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
    struct queue_differences found;
    assert_int_equal(queue_declare(&connection, longest, QUEUE_QUORUM, &found, NULL), -1);
    broker_disconnect(&connection, true);
}

int run_queue_declaration_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declares_absent_queues),
        cmocka_unit_test(takes_existing_queues_of_another_type),
        cmocka_unit_test(tells_that_rabbitmq_4_limits_the_deliveries),
        cmocka_unit_test(tells_that_a_queue_drops_messages),
        cmocka_unit_test(an_account_without_configure_permission),
        cmocka_unit_test(quorum_queues_dead_letter_and_never_drop),
        cmocka_unit_test(many_declare_at_once),
        cmocka_unit_test(labels_metrics_with_the_queue),
        cmocka_unit_test(names_the_dead_letter_queue),
    };
    return cmocka_run_group_tests_name("queue_declaration", tests, NULL, NULL);
}
