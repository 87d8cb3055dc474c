/* The adapter between real loops and a fake publisher, which answers on a thread of its own. */
#include "services/clients/rabbitmq/publisher.h"
#include "services/gateway/adapters/rabbitmq_queue.h"
#include "services/loop/event_loop_h2o.h"
#include "tests/unit/support/cmocka_headers.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- the publisher ---- */

static struct {
    pthread_mutex_t lock;
    struct publish_request *first, **end;
    atomic_bool stopping;
    atomic_bool accepts;
    atomic_uint wakes; /* it has not seen yet */
} publisher = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = &publisher.first, .accepts = true};

bool publisher_accepts(const struct publisher *unused)
{
    (void)unused;
    return atomic_load(&publisher.accepts);
}

int publisher_submit(struct publisher *unused, struct publish_request *request)
{
    (void)unused;
    pthread_mutex_lock(&publisher.lock);
    request->next = NULL;
    *publisher.end = request;
    publisher.end = &request->next;
    pthread_mutex_unlock(&publisher.lock);
    return 0;
}

void publisher_wake(struct publisher *unused)
{
    (void)unused;
    atomic_fetch_add(&publisher.wakes, 1);
}

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"

static void check_text(const amqp_table_entry_t *entry, const char *name, const char *text)
{
    assert_int_equal(entry->key.len, strlen(name));
    assert_memory_equal(entry->key.bytes, name, entry->key.len);
    assert_int_equal(entry->value.kind, AMQP_FIELD_KIND_UTF8);
    assert_int_equal(entry->value.value.bytes.len, strlen(text));
    assert_memory_equal(entry->value.value.bytes.bytes, text, strlen(text));
}

/* Order 1 has a tracestate, too, and order 2 replays a dead letter. */
static void check_headers(const amqp_table_t *headers, int number)
{
    const amqp_table_entry_t *entries = headers->entries;
    assert_int_equal(headers->num_entries, number == 0 ? 1 : 2);
    check_text(&entries[0], "traceparent", "00-" TRACE_ID "-00f067aa0ba902b7-01");
    if (number == 1)
        check_text(&entries[1], "tracestate", "a=1,b=2");
    if (number == 2) {
        assert_memory_equal(entries[1].key.bytes, "x-replay-of", 11);
        assert_int_equal(entries[1].key.len, 11);
        assert_int_equal(entries[1].value.kind, AMQP_FIELD_KIND_I64);
        assert_int_equal(entries[1].value.value.i64, INT64_C(1) << 40);
    }
}

/* The result that the body asks for, after a look at what was submitted. */
static void answer(struct publish_request *request)
{
    char expected[64];
    int result = ((const char *)request->body)[0] - '0';
    (void)snprintf(expected, sizeof expected, "%d %s", result, request->message_id);
    assert_int_equal(request->body_len, strlen(expected));
    assert_memory_equal(request->body, expected, request->body_len);
    assert_string_equal(request->routing_key, "order_queue");
    assert_string_equal(request->content_type, "application/json");
    assert_int_equal(request->deadline_ms, 123);
    check_headers(request->headers, result);
    request->on_result(request, (enum publish_result)result);
}

static void *publisher_thread(void *arg)
{
    (void)arg;
    for (; !atomic_load(&publisher.stopping); usleep(100)) {
        if (atomic_exchange(&publisher.wakes, 0) == 0)
            continue;
        pthread_mutex_lock(&publisher.lock);
        struct publish_request *first = publisher.first;
        publisher.first = NULL;
        publisher.end = &publisher.first;
        pthread_mutex_unlock(&publisher.lock);
        while (first) {
            struct publish_request *next = first->next;
            answer(first);
            first = next;
        }
    }
    return NULL;
}

/* ---- loops that publish ---- */

enum { ORDERS = 5000, IN_FLIGHT = 100 };

struct looper {
    pthread_t thread;
    struct order_queue *queue;
    unsigned published, answered;
    bool inside; /* publish() */
};

struct expectation {
    struct looper *looper;
    enum publish_result result;
    char json[64]; /* until the answer */
};

static void on_done(void *arg, enum publish_result result)
{
    struct expectation *expected = arg;
    assert_true(pthread_equal(pthread_self(), expected->looper->thread));
    assert_false(expected->looper->inside);
    assert_int_equal(result, expected->result);
    expected->looper->answered++;
}

/* All but the JSON is gone when it returns. */
static int publish(struct order_queue *queue, const struct order_id *id, const char *json,
                   size_t json_len, struct expectation *expected)
{
    static const char traceparent[] = "00-" TRACE_ID "-00f067aa0ba902b7-01";
    char state[] = "a=1,b=2";
    struct trace_context trace =
        trace_context_read(traceparent, TRACEPARENT_LEN, state, json[0] == '1' ? 7 : 0);
    const struct order_message message = {
        .id = id,
        .json = json,
        .json_len = json_len,
        .trace = &trace,
        .replay_of = json[0] == '2' ? INT64_C(1) << 40 : 0,
    };
    int result = queue->publish(queue->self, &message, 123, on_done, expected);
    memset(state, 'x', sizeof state);
    return result;
}

static void publish_one(struct looper *looper, struct expectation *expected)
{
    struct order_id id = order_id_new(0);
    char text[ORDER_ID_TEXT_LEN + 1], *json = expected->json;
    order_id_format(&id, text);
    int result = (int)(looper->published % 3);
    int len = snprintf(json, sizeof expected->json, "%d %s", result, text);
    expected->looper = looper;
    expected->result = (enum publish_result)result;
    looper->inside = true;
    assert_int_equal(publish(looper->queue, &id, json, (size_t)len, expected), 0);
    looper->inside = false;
    looper->published++;
}

static void *run_loop(void *arg)
{
    struct looper *looper = arg;
    looper->thread = pthread_self();
    static _Thread_local struct expectation expected[ORDERS];
    h2o_loop_t *evloop = h2o_evloop_create();
    struct event_loop *events = event_loop_h2o_new(evloop);
    looper->queue = rabbitmq_queue_new(events, NULL, "order_queue");
    while (looper->answered < ORDERS) {
        while (looper->published < ORDERS && looper->published < looper->answered + IN_FLIGHT)
            publish_one(looper, &expected[looper->published]);
        rabbitmq_queue_flush(looper->queue);
        (void)h2o_evloop_run(evloop, INT32_MAX);
    }
    rabbitmq_queue_free(looper->queue);
    event_loop_h2o_free(events);
    h2o_evloop_destroy(evloop);
    return NULL;
}

static void answers_each_request_on_its_own_loop(void **state)
{
    (void)state;
    struct looper loopers[2] = {0};
    pthread_t threads[2], answering;
    pthread_create(&answering, NULL, publisher_thread, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_loop, &loopers[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&publisher.stopping, true);
    pthread_join(answering, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(loopers[i].answered, ORDERS);
}

static void refuses(void **state)
{
    (void)state;
    h2o_loop_t *evloop = h2o_evloop_create();
    struct event_loop *events = event_loop_h2o_new(evloop);
    struct order_queue *queue = rabbitmq_queue_new(events, NULL, "order_queue");
    struct order_id id = order_id_new(0);
    assert_true(queue->accepts(queue->self));
    atomic_store(&publisher.accepts, false);
    assert_false(queue->accepts(queue->self));
    assert_int_equal(publish(queue, &id, "{}", 2, NULL), -1);
    atomic_store(&publisher.accepts, true);

    /* Answered and not delivered when the loop ends: freed, not called. */
    struct looper looper = {.queue = queue};
    struct expectation expected;
    publish_one(&looper, &expected);
    answer(publisher.first);
    publisher.first = NULL;
    publisher.end = &publisher.first;
    rabbitmq_queue_free(queue);
    assert_int_equal(looper.answered, 0);
    event_loop_h2o_free(events);
    h2o_evloop_destroy(evloop);
}

static void wakes_the_publisher_once_a_turn(void **state)
{
    (void)state;
    h2o_loop_t *evloop = h2o_evloop_create();
    struct event_loop *events = event_loop_h2o_new(evloop);
    struct looper looper = {.queue = rabbitmq_queue_new(events, NULL, "order_queue")};
    struct expectation expected[3];
    rabbitmq_queue_flush(looper.queue);
    for (size_t i = 0; i < COUNT(expected); i++)
        publish_one(&looper, &expected[i]);
    assert_int_equal(publisher.wakes, 0);
    for (size_t i = 0; i < 2; i++)
        rabbitmq_queue_flush(looper.queue);
    assert_int_equal(atomic_exchange(&publisher.wakes, 0), 1);

    while (publisher.first != NULL) {
        struct publish_request *first = publisher.first;
        publisher.first = first->next;
        answer(first);
    }
    publisher.end = &publisher.first;
    rabbitmq_queue_free(looper.queue);
    event_loop_h2o_free(events);
    h2o_evloop_destroy(evloop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wakes_the_publisher_once_a_turn),
        cmocka_unit_test(refuses),
        cmocka_unit_test(answers_each_request_on_its_own_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
