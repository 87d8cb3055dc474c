#include "services/base/clock.h"
#include "services/base/metrics.h"
#include "services/bridge/intake.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/metric_now.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/stalling_proxy.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFETCH 64
#define DELIVERIES_MAX 64

/* Of the running test, freed by tear_down() also when the test fails. */
static struct event_loop *loop;
static struct intake *intake;
static struct stalling_proxy *proxy;
static const char *queue; /* each test has its own */

/* What the intake has said. */
static struct {
    unsigned ups, downs;
    uint64_t epoch;
    int64_t up_ms, down_ms;
    unsigned count; /* deliveries of this connection */
    struct content *contents[DELIVERIES_MAX];
    bool refuse;
} news;

static void release_all(void)
{
    for (unsigned i = 0; i < news.count; i++) {
        content_unref(news.contents[i]);
        news.contents[i] = NULL;
    }
}

static void on_connection(void *arg, uint64_t epoch)
{
    (void)arg;
    if (epoch == 0) {
        news.downs++;
        news.down_ms = clock_monotonic_ms();
        release_all();
        news.count = 0;
        return;
    }
    assert_true(epoch > news.epoch);
    news.ups++;
    news.up_ms = clock_monotonic_ms();
    news.epoch = epoch;
}

static int on_delivery(void *arg, uint64_t delivery_tag, struct content *content)
{
    (void)arg;
    assert_true(news.count < DELIVERIES_MAX);
    news.contents[news.count++] = content;
    assert_int_equal(delivery_tag, news.count);
    return news.refuse ? -1 : 0;
}

static void on_turn(void *arg)
{
    (void)arg;
    intake_flush(intake);
}

static void start(const char *url, const char *of_queue, enum queue_type type)
{
    memset(&news, 0, sizeof news);
    queue = of_queue;
    intake = intake_new(loop, &(struct intake_options){
                                  .broker = {.url = url, .name = "test intake"},
                                  .queue = of_queue,
                                  .queue_type = type,
                                  .prefetch = PREFETCH,
                                  .on_connection = on_connection,
                                  .on_delivery = on_delivery,
                                  .on_turn = on_turn,
                              });
    intake_start(intake);
    run_loop_until(loop, news.ups == 1);
}

static int set_up(void **state)
{
    (void)state;
    loop = event_loop_new();
    proxy = stalling_proxy_new(rabbitmq_server_port());
    return 0;
}

static void end(void)
{
    release_all();
    intake_free(intake);
    intake = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    end();
    stalling_proxy_free(proxy);
    event_loop_free(loop);
    return 0;
}

static void publish(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char body[16];
        int len = snprintf(body, sizeof body, "order %u", i);
        queue_publish(queue, body, (size_t)len);
    }
}

static void assert_body(const struct content *content, const char *body)
{
    assert_int_equal(content->body_len, strlen(body));
    assert_memory_equal(content->body, body, content->body_len);
}

static void hands_over_and_settles(void **state)
{
    (void)state;
    start(rabbitmq_server_url(), "settled", QUEUE_QUORUM);
    double redelivered = metric_now("bridge_redelivered_total");
    publish(4);
    run_loop_until(loop, news.count == 4);
    assert_body(news.contents[0], "order 0");
    assert_string_equal(news.contents[3]->fault, "malformed");
    intake_ack(intake, 2, true);
    intake_requeue(intake, 3);
    assert_int_equal(intake_unsent(intake), 2);
    intake_flush(intake);
    assert_int_equal(intake_unsent(intake), 0);
    run_loop_until(loop, news.count == 5); /* the requeued one, with a new tag */
    assert_body(news.contents[4], "order 2");
    assert_true(metric_now("bridge_redelivered_total") == redelivered + 1);
    intake_ack(intake, 4, false);
    intake_flush(intake);
    end();
    wait_until(queue_depth("settled") == 1, (void)0); /* the one that was not settled */
}

/* RabbitMQ adds headers of its own, and then has more of them than a frame should. */
static void takes_headers_that_have_grown(void **state)
{
    (void)state;
    start(rabbitmq_server_url(), "grown", QUEUE_QUORUM);
    end();
    queue_publish_grown("grown");
    start(rabbitmq_server_url(), "grown", QUEUE_QUORUM);
    run_loop_until(loop, news.count == 1);
    assert_int_equal(news.downs, 0);
    assert_true(news.contents[0]->head.properties_len > 131072);
    assert_body(news.contents[0], "large");
}

static void begins_a_new_epoch_after_each_loss(void **state)
{
    (void)state;
    start(stalling_proxy_url(proxy), "epochs", QUEUE_QUORUM);
    double losses = metric_now("bridge_intake_losses_total");
    publish(2);
    run_loop_until(loop, news.count == 2);
    intake_ack(intake, 1, false); /* not sent: it goes with its connection */
    stalling_proxy_cut(proxy);
    run_loop_until(loop, news.downs == 1);
    assert_int_equal(intake_unsent(intake), 0);
    run_loop_until(loop, news.ups == 2 && news.count == 2);
    assert_int_equal(news.epoch, 2);

    intake_renew(intake);
    assert_int_equal(news.downs, 2);
    run_loop_until(loop, news.ups == 3 && news.count == 2);
    assert_in_range(news.up_ms - news.down_ms, 0, 5000);

    news.refuse = true; /* the flow's way to say that the connection is no good */
    publish(1);
    run_loop_until(loop, news.downs == 3);
    news.refuse = false;
    run_loop_until(loop, news.ups == 4 && news.count == 3);
    assert_true(metric_now("bridge_intake_losses_total") == losses + 3);
}

static void a_deleted_queue_is_declared_again_after_a_pause(void **state)
{
    (void)state;
    start(rabbitmq_server_url(), "deleted", QUEUE_QUORUM);
    queue_delete("deleted");
    run_loop_until(loop, news.downs == 1);
    run_loop_until(loop, news.ups == 2);
    assert_in_range(news.up_ms - news.down_ms, QUEUE_GONE_PAUSE_MS, 20000);
    publish(1);
    run_loop_until(loop, news.count == 1);
}

static void a_silent_broker_is_noticed(void **state)
{
    (void)state;
    start(stalling_proxy_url(proxy), "silent", QUEUE_CLASSIC);
    stalling_proxy_set(proxy, PROXY_STALLS);
    int64_t since_ms = clock_monotonic_ms();
    run_loop_until(loop, news.downs == 1);
    assert_in_range(news.down_ms - since_ms, 5000, 12000); /* 1.5 heartbeat intervals of 4 s */
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    run_loop_until(loop, news.ups == 2);
}

/* Acks still go out, and no delivery comes any more; a lost connection is not made again. */
static void a_cancelled_intake_only_settles(void **state)
{
    (void)state;
    start(stalling_proxy_url(proxy), "cancelled", QUEUE_QUORUM);
    publish(2);
    run_loop_until(loop, news.count == 2);
    intake_cancel(intake);
    intake_cancel(intake); /* nothing happens */
    publish(3);
    run_loop_for(loop, 500);
    assert_int_equal(news.count, 2);
    intake_ack(intake, 2, true);
    intake_flush(intake);
    end();
    wait_until(queue_depth("cancelled") == 3, (void)0);

    start(stalling_proxy_url(proxy), "cancelled", QUEUE_QUORUM);
    intake_cancel(intake);
    stalling_proxy_cut(proxy);
    run_loop_until(loop, news.downs == 1);
    run_loop_for(loop, 2500);
    assert_int_equal(news.ups, 1);
}

/* Three times what may be in memory: reading waits until some of it is released. */
static void large_contents_wait_for_room(void **state)
{
    (void)state;
    enum { COUNT_IN_QUEUE = 48, BODY_BYTES = 1 << 20 };
    start(rabbitmq_server_url(), "large", QUEUE_CLASSIC);
    char *body = calloc(1, BODY_BYTES);
    assert_non_null(body);
    for (unsigned i = 0; i < COUNT_IN_QUEUE; i++)
        queue_publish(queue, body, BODY_BYTES);
    free(body);
    run_loop_until(loop, news.count >= 14);
    run_loop_for(loop, 1500 * RABBITMQ_SERVER_HEARTBEAT_S);
    assert_in_range(news.count, 14, 17);
    assert_int_equal(news.downs, 0);
    for (unsigned settled = 0; settled < COUNT_IN_QUEUE;) {
        for (; settled < news.count; settled++) {
            content_unref(news.contents[settled]);
            news.contents[settled] = NULL;
            intake_ack(intake, settled + 1, false);
        }
        intake_flush(intake);
        event_loop_turn(loop, 10);
    }
    news.count = 0;
    assert_int_equal(news.downs, 0);
    end();
    assert_int_equal(queue_depth("large"), 0);
}

static void the_next_server_of_the_list_is_used(void **state)
{
    (void)state;
    char url[256];
    (void)snprintf(url, sizeof url, "amqp://guest:guest@127.0.0.1:1,%s", rabbitmq_server_url());
    double losses = metric_now("bridge_intake_losses_total");
    start(url, "listed", QUEUE_CLASSIC);
    assert_int_equal(news.downs, 1); /* the failed attempt is said … */
    assert_true(metric_now("bridge_intake_losses_total") == losses); /* … and is no loss */
    publish(1);
    run_loop_until(loop, news.count == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hands_over_and_settles),
        TEST(takes_headers_that_have_grown),
        TEST(begins_a_new_epoch_after_each_loss),
        TEST(a_deleted_queue_is_declared_again_after_a_pause),
        TEST(a_silent_broker_is_noticed),
        TEST(a_cancelled_intake_only_settles),
        TEST(large_contents_wait_for_room),
        TEST(the_next_server_of_the_list_is_used),
    };
    rabbitmq_server_start();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rabbitmq_server_stop();
    return failed;
}
