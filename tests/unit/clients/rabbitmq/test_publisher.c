#include "services/base/clock.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/publisher.h"
#include "tests/unit/clients/rabbitmq/publish_load.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include "tests/unit/support/metric_now.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/stalling_proxy.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE_MS 1000 /* without waiting for a deadline of 5 s */
#define CROWD 6

/* Of the running test. Not on its stack: the publisher's thread uses them until tear_down(), also
 * when the test fails. */
static struct publish_load load, crowd[CROWD];
static struct stalling_proxy *proxy;

static int tear_down(void **state)
{
    (void)state;
    publisher_free(load.publisher, 0);
    load.publisher = NULL;
    for (int i = 0; i < CROWD; i++) {
        publisher_free(crowd[i].publisher, 0);
        crowd[i].publisher = NULL;
    }
    stalling_proxy_free(proxy);
    proxy = NULL;
    return 0;
}

static void assert_results(const struct publish_load *of, unsigned confirmed, unsigned refused,
                           unsigned unknown)
{
    if (of->results[PUBLISH_CONFIRMED] != confirmed || of->results[PUBLISH_REFUSED] != refused ||
        of->results[PUBLISH_UNKNOWN] != unknown)
        fail_msg("%u confirmed, %u refused, %u unknown; expected %u, %u, %u",
                 of->results[PUBLISH_CONFIRMED], of->results[PUBLISH_REFUSED],
                 of->results[PUBLISH_UNKNOWN], confirmed, refused, unknown);
}

static void note_in_queue(void *arg, const char *id, size_t id_len)
{
    static const char prefix[] = "message-";
    char number[16] = "";
    assert_in_range(id_len, sizeof prefix, sizeof prefix - 1 + sizeof number - 1);
    memcpy(number, id + sizeof prefix - 1, id_len - (sizeof prefix - 1));
    unsigned index = (unsigned)atoi(number);
    assert_true(index < PUBLISH_LOAD_RECORDED);
    ((bool *)arg)[index] = true;
}

/* Confirmed means in the queue, refused means not. Empties the queue. */
static void assert_true_answers(const struct publish_load *of, const char *queue)
{
    static bool in_queue[PUBLISH_LOAD_RECORDED];
    memset(in_queue, 0, sizeof in_queue);
    queue_drain(queue, note_in_queue, in_queue);
    for (unsigned i = 0; i < of->accepted; i++) {
        if (of->recorded[i] == 1 + PUBLISH_CONFIRMED && !in_queue[i])
            fail_msg("message %u was confirmed and is lost", i);
        if (of->recorded[i] == 1 + PUBLISH_REFUSED && in_queue[i])
            fail_msg("message %u was refused and is in the queue", i);
    }
}

static void confirms_twenty_thousand(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum queue_type type;
        unsigned window;
    } cases[] = {
        {"speed-quorum", QUEUE_QUORUM, 64},
        {"speed-quorum", QUEUE_QUORUM, 1024},
        {"speed-classic", QUEUE_CLASSIC, 64},
        {"speed-classic", QUEUE_CLASSIC, 1024},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned count = cases[i].window == 64 ? 5000 : 20000;
        publish_load_start(&load, rabbitmq_server_url(), cases[i].name, cases[i].type,
                           cases[i].window);
        int64_t start_us = clock_monotonic_us();
        publish_load_submit_many(&load, cases[i].name, count, PATIENCE_MS);
        (void)publish_load_wait_answered(&load, PATIENCE_MS);
        double seconds = (double)(clock_monotonic_us() - start_us) * 1e-6;
        print_message("%s, window %u: %.0f confirms/s\n", cases[i].name, cases[i].window,
                      count / seconds);
        assert_results(&load, count, 0, 0);
        publish_load_stop(&load);
    }
    assert_int_equal(queue_depth("speed-quorum"), 25000);
    assert_int_equal(queue_depth("speed-classic"), 25000);
    queue_delete("speed-quorum");
    queue_delete("speed-classic");
}

static void takes_no_more_than_the_window(void **state)
{
    (void)state;
    proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&load, stalling_proxy_url(proxy), "window", QUEUE_CLASSIC, 10);
    stalling_proxy_set(proxy, PROXY_HOLDS_REPLIES);
    for (int i = 0; i < 9; i++)
        assert_true(publish_load_submit(&load, "window", 10, PATIENCE_MS));
    assert_true(publisher_accepts(load.publisher));
    assert_true(publish_load_submit(&load, "window", 10, PATIENCE_MS));
    assert_false(publisher_accepts(load.publisher));
    assert_false(publish_load_submit(&load, "window", 10, PATIENCE_MS));
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 10, 0, 0);
    publish_load_stop(&load);
}

static void unroutable_messages_are_refused(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "routed", QUEUE_QUORUM, 100);
    for (int i = 0; i < 40; i++)
        assert_true(
            publish_load_submit(&load, i % 4 == 3 ? "no-such-queue" : "routed", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 30, 10, 0);
    assert_int_equal(queue_depth("routed"), 30);
    publish_load_stop(&load);
}

static void wait_for_metric(const char *name, double value)
{
    wait_until(isnan(value) ? isnan(metric_now(name)) : metric_now(name) == value, usleep(20000));
}

static void tells_how_many_messages_wait(void **state)
{
    (void)state;
    proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&load, stalling_proxy_url(proxy), "watched", QUEUE_QUORUM, 100);
    wait_for_metric("order_queue_messages{queue=\"watched\"}", 0);
    for (int i = 0; i < 40; i++)
        assert_true(
            publish_load_submit(&load, i < 30 ? "watched" : "watched.dead", 100, PATIENCE_MS));
    wait_for_metric("order_queue_messages{queue=\"watched\"}", 30);
    wait_for_metric("dead_letter_queue_messages{queue=\"watched\"}", 10);
    wait_for_metric("order_queue_consumers{queue=\"watched\"}", 0);

    stalling_proxy_set(proxy, PROXY_STALLS);
    stalling_proxy_cut(proxy);
    wait_for_metric("order_queue_messages{queue=\"watched\"}", NAN);
    wait_for_metric("dead_letter_queue_messages{queue=\"watched\"}", NAN);
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    wait_for_metric("order_queue_messages{queue=\"watched\"}", 30);
    publish_load_stop(&load);
    queue_delete("watched");
    queue_delete("watched.dead");
}

static void declare_limited(const char *queue)
{
    struct broker_options options = {.url = rabbitmq_server_url(), .name = "test"};
    struct broker_connection connection;
    struct error err;
    if (broker_connect(&options, &connection, &err) != 0)
        fail_msg("%s", err.message);
    amqp_table_entry_t entries[] = {
        {.key = amqp_cstring_bytes("x-max-length"),
         .value = {.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = 5}}},
        {.key = amqp_cstring_bytes("x-overflow"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8,
                   .value = {.bytes = amqp_cstring_bytes("reject-publish")}}},
    };
    assert_non_null(amqp_queue_declare(connection.amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue),
                                       0, 1, 0, 0,
                                       (amqp_table_t){.num_entries = 2, .entries = entries}));
    broker_disconnect(&connection, true);
}

static void nacked_messages_are_refused(void **state)
{
    (void)state;
    declare_limited("limited");
    publish_load_start(&load, rabbitmq_server_url(), "limited", QUEUE_CLASSIC, 100);
    for (int i = 0; i < 5; i++) {
        assert_true(publish_load_submit(&load, "limited", 100, PATIENCE_MS));
        (void)publish_load_wait_answered(&load, PATIENCE_MS);
    }
    assert_results(&load, 5, 0, 0);
    for (int i = 0; i < 20; i++)
        assert_true(publish_load_submit(&load, "limited", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 5, 20, 0);
    assert_int_equal(queue_depth("limited"), 5);
    /* The refusal may be this connection's alone: another one is tried. */
    (void)publish_load_wait_down(&load, PATIENCE_MS);
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    publish_load_stop(&load);
}

/* Whatever was outstanding is published again, and confirmed; the queue has all, some twice. */
static void republishes_after_a_lost_connection(void **state)
{
    (void)state;
    proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&load, stalling_proxy_url(proxy), "again", QUEUE_QUORUM, 100);
    stalling_proxy_set(proxy, PROXY_HOLDS_REPLIES);
    for (int i = 0; i < 100; i++)
        assert_true(publish_load_submit(&load, "again", 100, PATIENCE_MS));
    wait_until(queue_depth("again") == 100, usleep(10000));
    assert_int_equal(publish_load_answered(&load), 0);
    publisher_hold(load.publisher, true);
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    stalling_proxy_cut(proxy);
    (void)publish_load_wait_down(&load, PATIENCE_MS);
    assert_false(publish_load_submit(&load, "again", 100, PATIENCE_MS)); /* new ones: at once */
    publisher_hold(load.publisher, false);
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 100, 0, 0);
    assert_in_range(queue_depth("again"), 100, 200);
    publish_load_stop(&load);
}

static void resumes_when_the_broker_closes_connections_under_load(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "closed", QUEUE_QUORUM, 256);
    int64_t until_ms = clock_monotonic_ms() + 500;
    while (clock_monotonic_ms() < until_ms)
        publish_load_submit_many(&load, "closed", 100, PATIENCE_MS);
    rabbitmq_server_ctl("close_all_connections test &");
    until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (atomic_load(&load.downs) == 0 && clock_monotonic_ms() < until_ms)
        publish_load_submit_many(&load, "closed", 100, PATIENCE_MS);
    assert_int_equal(load.downs, 1);
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    publish_load_submit_many(&load, "closed", 100, PATIENCE_MS);
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    /* Never sent ones were refused; all others are there. */
    assert_int_equal(load.results[PUBLISH_UNKNOWN], 0);
    assert_true(load.results[PUBLISH_CONFIRMED] > 0);
    assert_in_range(queue_depth("closed"), load.results[PUBLISH_CONFIRMED], load.accepted + 256);
    publish_load_stop(&load);
}

static void a_stopped_broker_is_refused_and_resumed(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "stopped", QUEUE_QUORUM, 100);
    rabbitmq_server_ctl("stop_app");
    (void)publish_load_wait_down(&load, PATIENCE_MS);
    int64_t start_ms = clock_monotonic_ms();
    assert_false(publish_load_submit(&load, "stopped", 100, 5000));
    assert_in_range(clock_monotonic_ms() - start_ms, 0, AT_ONCE_MS);
    wait_until(load.failed_attempts >= 2, usleep(10000));
    rabbitmq_server_ctl("start_app"); /* returns after the port has opened */
    int64_t down_ms = clock_monotonic_ms() - load.down_ms;
    assert_in_range(load.failed_attempts, 1, 1 + 2 * down_ms / 1000); /* on average, 1 a second */
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    assert_true(publish_load_submit(&load, "stopped", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 1, 0, 0);
    publish_load_stop(&load);
}

static void an_alarm_refuses_until_it_clears(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "alarm", QUEUE_QUORUM, 100);
    rabbitmq_server_ctl("set_vm_memory_high_watermark absolute 1");
    /* The broker blocks whoever publishes: this one waits for its confirm meanwhile. */
    bool taken = publish_load_submit(&load, "alarm", 100, PATIENCE_MS);
    (void)publish_load_wait_down(&load, PATIENCE_MS);
    assert_false(publish_load_submit(&load, "alarm", 100, PATIENCE_MS));
    rabbitmq_server_ctl("set_vm_memory_high_watermark 0.8");
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    assert_true(publish_load_submit(&load, "alarm", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, taken ? 2 : 1, 0, 0);
    assert_int_equal(load.downs, 1); /* the same connection all the time */
    publish_load_stop(&load);
}

static void confirms_that_do_not_come_are_unknown(void **state)
{
    (void)state;
    proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&load, stalling_proxy_url(proxy), "unknown", QUEUE_QUORUM, 100);
    stalling_proxy_set(proxy, PROXY_HOLDS_REPLIES);
    assert_true(publish_load_submit(&load, "unknown", 100, 500));
    assert_in_range(publish_load_wait_answered(&load, PATIENCE_MS), 450, 3000);
    assert_results(&load, 0, 0, 1);
    assert_int_equal(queue_depth("unknown"), 1);
    /* The late confirm is for nobody; the next one is right. */
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    assert_true(publish_load_submit(&load, "unknown", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, 1, 0, 1);
    publish_load_stop(&load);
}

/* 12 MB do not fit into any socket buffer: the thread must not block in sending them. */
static void a_stalled_link_keeps_deadlines_and_is_noticed(void **state)
{
    (void)state;
    proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&load, stalling_proxy_url(proxy), "stalled", QUEUE_QUORUM, 1000);
    stalling_proxy_set(proxy, PROXY_STALLS);
    for (int i = 0; i < 200; i++)
        assert_true(publish_load_submit(&load, "stalled", 60000, 1000));
    /* An unwritable socket is given up after 3.2 s only. */
    assert_in_range(publish_load_wait_answered(&load, PATIENCE_MS), 500, 2500);
    assert_int_equal(load.results[PUBLISH_CONFIRMED], 0);
    assert_true(load.results[PUBLISH_REFUSED] > 0); /* never sent */
    assert_true(load.results[PUBLISH_UNKNOWN] > 0);
    assert_in_range(publish_load_wait_down(&load, PATIENCE_MS), 500, 10000);
    /* Connecting hangs as well, and new ones are refused all the time. */
    assert_false(publish_load_submit(&load, "stalled", 100, 1000));
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    assert_true(publish_load_submit(&load, "stalled", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_int_equal(load.results[PUBLISH_CONFIRMED], 1);
    publish_load_stop(&load);
    assert_true_answers(&load, "stalled");
}

/* Two connections beside the other tests: one has nothing to do, one's broker falls silent. */
static struct {
    struct stalling_proxy *proxy;
    struct publish_load idle, silent;
    int64_t since_ms;
} aside;

static int start_aside(void **state)
{
    (void)state;
    publish_load_start(&aside.idle, rabbitmq_server_url(), "idle", QUEUE_QUORUM, 10);
    aside.proxy = stalling_proxy_new(rabbitmq_server_port());
    publish_load_start(&aside.silent, stalling_proxy_url(aside.proxy), "silent", QUEUE_QUORUM, 10);
    stalling_proxy_set(aside.proxy, PROXY_STALLS);
    aside.since_ms = clock_monotonic_ms();
    return 0;
}

static void a_silent_broker_is_noticed(void **state)
{
    (void)state;
    (void)publish_load_wait_down(&aside.silent, PATIENCE_MS);
    assert_in_range(aside.silent.down_ms - aside.since_ms, 5000, 12000);
    assert_false(publisher_accepts(aside.silent.publisher));
    publish_load_stop(&aside.silent);
    stalling_proxy_free(aside.proxy);
}

static void an_idle_connection_lives(void **state)
{
    (void)state;
    while (clock_monotonic_ms() - aside.since_ms < 3000 * RABBITMQ_SERVER_HEARTBEAT_S)
        usleep(10000);
    assert_int_equal(aside.idle.downs, 0);
    assert_true(publish_load_submit(&aside.idle, "idle", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&aside.idle, PATIENCE_MS);
    assert_results(&aside.idle, 1, 0, 0);
    publish_load_stop(&aside.idle);
}

/* Deleted under load: messages are returned until the publisher has declared the queue again. */
static void a_deleted_queue_confirms_nothing_false(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "deleted", QUEUE_QUORUM, 64);
    int64_t until_ms = clock_monotonic_ms() + 300;
    while (clock_monotonic_ms() < until_ms)
        publish_load_submit_many(&load, "deleted", 50, PATIENCE_MS);
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_results(&load, load.accepted, 0, 0);

    queue_delete("deleted");
    assert_true(publish_load_submit(&load, "deleted", 100, PATIENCE_MS));
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_int_equal(load.results[PUBLISH_REFUSED], 1);
    (void)publish_load_wait_down(&load, PATIENCE_MS);
    (void)publish_load_wait_up(&load, PATIENCE_MS);
    unsigned confirmed_before = load.results[PUBLISH_CONFIRMED];
    publish_load_submit_many(&load, "deleted", 500, PATIENCE_MS);
    (void)publish_load_wait_answered(&load, PATIENCE_MS);
    assert_int_equal(queue_depth("deleted"), load.results[PUBLISH_CONFIRMED] - confirmed_before);
    publish_load_stop(&load);
}

static void every_answer_is_true_under_random_faults(void **state)
{
    (void)state;
    static const char *const queues[CROWD] = {"faults-0", "faults-1", "faults-2",
                                              "faults-3", "faults-4", "faults-5"};
    static const enum proxy_mode modes[] = {PROXY_FORWARDS,      PROXY_FORWARDS,
                                            PROXY_FORWARDS,      PROXY_HOLDS_REPLIES,
                                            PROXY_HOLDS_REPLIES, PROXY_STALLS};
    proxy = stalling_proxy_new(rabbitmq_server_port());
    for (int i = 0; i < CROWD; i++)
        publish_load_start(&crowd[i], stalling_proxy_url(proxy), queues[i], QUEUE_QUORUM, 400);
    unsigned seed = (unsigned)clock_monotonic_us();
    print_message("seed %u\n", seed);
    srand(seed);
    int64_t until_ms = clock_monotonic_ms() + 8000;
    while (clock_monotonic_ms() < until_ms) {
        stalling_proxy_set(proxy, modes[rand() % 6]);
        int64_t change_ms = clock_monotonic_ms() + rand() % 150;
        while (clock_monotonic_ms() < change_ms) {
            int i = rand() % CROWD;
            for (int burst = rand() % 200; burst > 0; burst--)
                if (!publish_load_submit(&crowd[i], queues[i], 200, 400 + rand() % 2000))
                    break;
            usleep(1000);
        }
        if (rand() % 4 == 0)
            stalling_proxy_cut(proxy);
    }
    stalling_proxy_set(proxy, PROXY_FORWARDS);
    unsigned results[3] = {0}, downs = 0;
    for (int i = 0; i < CROWD; i++) {
        (void)publish_load_wait_answered(&crowd[i], PATIENCE_MS);
        publish_load_stop(&crowd[i]);
        for (int result = 0; result < 3; result++)
            results[result] += crowd[i].results[result];
        downs += crowd[i].downs;
        assert_true_answers(&crowd[i], queues[i]);
    }
    print_message("%u confirmed, %u refused, %u unknown, %u lost connections\n",
                  results[PUBLISH_CONFIRMED], results[PUBLISH_REFUSED], results[PUBLISH_UNKNOWN],
                  downs);
    assert_true(results[PUBLISH_CONFIRMED] >= 1000);
    assert_true(results[PUBLISH_UNKNOWN] > 0);
    assert_true(downs > CROWD);
}

static void stopping_drains_what_was_taken(void **state)
{
    (void)state;
    publish_load_start(&load, rabbitmq_server_url(), "drained", QUEUE_QUORUM, 2000);
    publish_load_submit_many(&load, "drained", 1500, PATIENCE_MS);
    publish_load_stop(&load);
    assert_results(&load, 1500, 0, 0);
    assert_int_equal(queue_depth("drained"), 1500);
}

int run_publisher_tests(void)
{
    /* With no other publisher beside it: a program's publishers share the gauges. */
    const struct CMUnitTest watching[] = {
        cmocka_unit_test_teardown(tells_how_many_messages_wait, tear_down),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(confirms_twenty_thousand, tear_down),
        cmocka_unit_test_teardown(takes_no_more_than_the_window, tear_down),
        cmocka_unit_test_teardown(unroutable_messages_are_refused, tear_down),
        cmocka_unit_test_teardown(nacked_messages_are_refused, tear_down),
        cmocka_unit_test_teardown(republishes_after_a_lost_connection, tear_down),
        cmocka_unit_test_teardown(confirms_that_do_not_come_are_unknown, tear_down),
        cmocka_unit_test_teardown(a_stalled_link_keeps_deadlines_and_is_noticed, tear_down),
        cmocka_unit_test_teardown(a_deleted_queue_confirms_nothing_false, tear_down),
        cmocka_unit_test_teardown(every_answer_is_true_under_random_faults, tear_down),
        cmocka_unit_test_teardown(stopping_drains_what_was_taken, tear_down),
        cmocka_unit_test_teardown(a_silent_broker_is_noticed, tear_down),
        cmocka_unit_test_teardown(an_idle_connection_lives, tear_down),
        cmocka_unit_test_teardown(resumes_when_the_broker_closes_connections_under_load, tear_down),
        cmocka_unit_test_teardown(an_alarm_refuses_until_it_clears, tear_down),
        cmocka_unit_test_teardown(a_stopped_broker_is_refused_and_resumed, tear_down),
    };
    return cmocka_run_group_tests_name("queue_watch", watching, NULL, NULL) +
           cmocka_run_group_tests_name("publisher", tests, start_aside, NULL);
}
