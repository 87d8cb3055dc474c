#include "services/base/clock.h"
#include "services/clients/rabbitmq/link.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/stalling_proxy.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUEUE "link"

/* What a link has said. */
struct news {
    unsigned ups, downs, turns, counts;
    unsigned messages, consumers;
    char warning[256], reason[256], queue[256];
    int64_t up_ms, down_ms;
};

/* Of the running test, freed by tear_down() also when the test fails. */
static struct event_loop *loop;
static struct broker_link *link_now;
static struct stalling_proxy *proxy;
static struct news news;

static void on_up(void *arg, const char *warning)
{
    (void)arg;
    news.ups++;
    news.up_ms = clock_monotonic_ms();
    (void)snprintf(news.warning, sizeof news.warning, "%s", warning ? warning : "");
    assert_non_null(broker_link_connection(link_now));
}

static void on_down(void *arg, const char *reason)
{
    (void)arg;
    news.downs++;
    news.down_ms = clock_monotonic_ms();
    (void)snprintf(news.reason, sizeof news.reason, "%s", reason);
    assert_null(broker_link_connection(link_now));
    assert_false(broker_link_writable(link_now));
}

static void on_counts(void *arg, const amqp_queue_declare_ok_t *counts)
{
    (void)arg;
    news.counts++;
    news.messages = counts->message_count;
    news.consumers = counts->consumer_count;
    (void)snprintf(news.queue, sizeof news.queue, "%.*s", (int)counts->queue.len,
                   (const char *)counts->queue.bytes);
}

static int on_frame(void *arg, const amqp_frame_t *frame, struct error *err)
{
    (void)arg, (void)frame;
    error_set(err, "a frame that nobody wants");
    return -1;
}

static void on_turn(void *arg)
{
    (void)arg;
    news.turns++;
}

static struct broker_link *link_to(const char *url, unsigned ask_queues)
{
    news = (struct news){.ups = 0};
    return broker_link_new(loop, &(struct broker_link_options){
                                     .broker = {.url = url, .name = "test link"},
                                     .queue = QUEUE,
                                     .queue_type = QUEUE_CLASSIC,
                                     .ask_queues = ask_queues,
                                     .on_up = on_up,
                                     .on_down = on_down,
                                     .on_counts = on_counts,
                                     .on_frame = on_frame,
                                     .on_turn = on_turn,
                                 });
}

static int set_up(void **state)
{
    (void)state;
    loop = event_loop_new();
    proxy = stalling_proxy_new(rabbitmq_server_port());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    broker_link_free(link_now);
    link_now = NULL;
    stalling_proxy_free(proxy);
    event_loop_free(loop);
    return 0;
}

static void gives_up_on_a_silent_server(void **state)
{
    (void)state;
    stalling_proxy_set(proxy, PROXY_STALLS);

    /* Abandoned attempts end by themselves, and nobody waits for them. */
    int64_t start_ms = clock_monotonic_ms();
    for (int i = 0; i < 3; i++) {
        link_now = link_to(stalling_proxy_url(proxy), 0);
        broker_link_hold(link_now, false);
        event_loop_turn(loop, 1000); /* the attempt starts */
        broker_link_free(link_now);
    }
    assert_in_range(clock_monotonic_ms() - start_ms, 0, 3000);

    link_now = link_to(stalling_proxy_url(proxy), 0);
    broker_link_hold(link_now, false);
    event_loop_turn(loop, 1000);
    assert_int_equal(news.downs, 0);
    run_loop_until(loop, news.downs > 0);
    assert_in_range(clock_monotonic_ms() - start_ms, 4500, 10000);
    assert_int_equal(news.ups, 0);
    assert_non_null(strstr(news.reason, "timed out"));
}

static void goes_to_the_next_server_of_the_list(void **state)
{
    (void)state;
    uint16_t frozen_port;
    int frozen = loopback_listen(&frozen_port);
    char url[256];
    (void)snprintf(url, sizeof url, "amqp://u:p,w@127.0.0.1:%u,%s", (unsigned)frozen_port,
                   rabbitmq_server_url());
    link_now = link_to(url, 0);
    int64_t start_ms = clock_monotonic_ms();
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups > 0);
    assert_in_range(news.up_ms - start_ms, 2000, 5000);
    assert_int_equal(news.downs, 1);

    /* After a loss, first the one that hangs, then this one again. */
    broker_link_drop(link_now, "enough of it", 0);
    run_loop_until(loop, news.ups > 1);
    assert_int_equal(news.downs, 3);
    assert_int_equal(close(frozen), 0);
}

static void connects_when_it_may_and_again_after_a_loss(void **state)
{
    (void)state;
    link_now = link_to(stalling_proxy_url(proxy), 0);
    run_loop_for(loop, 300);
    assert_int_equal(news.ups + news.downs, 0); /* held */
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    assert_true(news.turns > 0);
    assert_true(broker_link_writable(link_now));

    stalling_proxy_cut(proxy);
    run_loop_until(loop, news.ups == 2);
    assert_int_equal(news.downs, 1);
    assert_in_range(news.up_ms - news.down_ms, 500, 5000); /* it was young: backoff */

    broker_link_drop(link_now, "enough of it", 0);
    assert_string_equal(news.reason, "enough of it");
    broker_link_drop(link_now, "more of it", 0); /* nothing happens */
    assert_int_equal(news.downs, 2);
    run_loop_until(loop, news.ups == 3);

    broker_link_hold(link_now, true); /* stays up */
    run_loop_for(loop, 300);
    assert_int_equal(news.downs, 2);
    broker_link_drop(link_now, "enough of it", 0);
    run_loop_for(loop, 1000);
    assert_int_equal(news.ups, 3);
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 4);
}

/* So a link that is held and let go again and again gets up all the same. */
static void an_attempt_goes_on_when_the_link_is_held(void **state)
{
    (void)state;
    link_now = link_to(stalling_proxy_url(proxy), 0);
    broker_link_hold(link_now, false);
    event_loop_turn(loop, 1000); /* the attempt starts */
    broker_link_hold(link_now, true);
    run_loop_until(loop, news.ups == 1);
    assert_int_equal(news.downs, 0);
}

static void asks_how_the_queues_stand(void **state)
{
    (void)state;
    link_now = link_to(rabbitmq_server_url(), 2);
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    queue_publish(QUEUE, "{}", 2);
    run_loop_until(loop, news.messages == 1);
    assert_string_equal(news.queue, QUEUE);
    assert_int_equal(news.consumers, 0);
    run_loop_until(loop, strcmp(news.queue, QUEUE ".dead") == 0);

    /* A queue that is gone is declared again, after a pause. */
    queue_delete(QUEUE);
    run_loop_until(loop, news.downs == 1);
    assert_non_null(strstr(news.reason, "channel closed by the broker: 404"));
    run_loop_until(loop, news.ups == 2);
    assert_in_range(news.up_ms - news.down_ms, QUEUE_GONE_PAUSE_MS, 10000);
    assert_int_equal(queue_depth(QUEUE), 0);
}

static void tells_that_a_queue_differs(void **state)
{
    (void)state;
    link_now = broker_link_new(loop, &(struct broker_link_options){
                                         .broker = {.url = rabbitmq_server_url(), .name = "test"},
                                         .queue = QUEUE,
                                         .queue_type = QUEUE_QUORUM,
                                         .on_up = on_up,
                                         .on_down = on_down,
                                         .on_turn = on_turn,
                                     });
    news = (struct news){.ups = 0};
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    assert_non_null(strstr(news.warning, "queue link differs from what would be declared, and is "
                                         "kept: PRECONDITION_FAILED - inequivalent arg"));
}

/* While it reads nothing it is not silence that it hears, and it sends heartbeats by hand. */
static void a_paused_link_lives(void **state)
{
    (void)state;
    link_now = link_to(rabbitmq_server_url(), 1);
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    broker_link_pause(link_now, true);
    run_loop_for(loop, 2500 * RABBITMQ_SERVER_HEARTBEAT_S);
    assert_int_equal(news.counts, 0);
    assert_int_equal(news.downs, 0);
    broker_link_pause(link_now, false);
    run_loop_until(loop, news.counts > 0);
    assert_int_equal(news.downs, 0);
}

/* It does not read, and so no error of reading tells it. */
static void a_paused_link_notices_that_its_connection_is_gone(void **state)
{
    (void)state;
    link_now = link_to(stalling_proxy_url(proxy), 0);
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    broker_link_pause(link_now, true);
    unsigned turns = news.turns;
    stalling_proxy_cut(proxy);
    run_loop_until(loop, news.downs == 1);
    assert_in_range(news.turns - turns, 0, 10);
    run_loop_until(loop, news.ups == 2);
}

static void a_frame_that_is_refused_ends_the_connection(void **state)
{
    (void)state;
    link_now = link_to(rabbitmq_server_url(), 0);
    broker_link_hold(link_now, false);
    run_loop_until(loop, news.ups == 1);
    amqp_basic_qos_t qos = {.prefetch_count = 1};
    assert_int_equal(amqp_send_method(broker_link_connection(link_now)->amqp, BROKER_CHANNEL,
                                      AMQP_BASIC_QOS_METHOD, &qos),
                     AMQP_STATUS_OK);
    run_loop_until(loop, news.downs == 1);
    assert_string_equal(news.reason, "a frame that nobody wants");
}

int run_link_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(gives_up_on_a_silent_server),
        TEST(goes_to_the_next_server_of_the_list),
        TEST(connects_when_it_may_and_again_after_a_loss),
        TEST(an_attempt_goes_on_when_the_link_is_held),
        TEST(asks_how_the_queues_stand),
        TEST(tells_that_a_queue_differs),
        TEST(a_paused_link_lives),
        TEST(a_paused_link_notices_that_its_connection_is_gone),
        TEST(a_frame_that_is_refused_ends_the_connection),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
