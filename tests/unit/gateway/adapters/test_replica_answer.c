#include "services/gateway/adapters/replica_answer.h"
#include "tests/unit/support/cmocka_headers.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum replica_status status;
static struct replica_reasons reasons;
static struct replica_metrics metrics;

static int readiness(const char *text)
{
    return replica_read_readiness(text, strlen(text), &status, &reasons);
}

static void read_metrics(const char *text)
{
    replica_read_metrics(text, strlen(text), &metrics);
}

static void test_readiness(void **state)
{
    (void)state;
    assert_int_equal(readiness("{\"status\":\"ready\",\"dependencies\":[]}\n"), 0);
    assert_int_equal(status, REPLICA_READY);
    assert_int_equal(reasons.count, 0);
    assert_int_equal(readiness("{\"status\":\"not ready\",\"dependencies\":["
                               "{\"name\":\"postgres\",\"required\":true,\"status\":\"down\","
                               "\"reason\":\"connection\\u001b[2J\\nrefused\"},"
                               "{\"name\":\"redis\",\"required\":false,\"status\":\"up\"}]}"),
                     0);
    assert_int_equal(status, REPLICA_NOT_READY);
    assert_int_equal(reasons.count, 1);
    assert_string_equal(reasons.texts[0], "postgres: connection [2J refused");
}

static void test_no_readiness(void **state)
{
    (void)state;
    status = REPLICA_READY;
    static const char *const texts[] = {"",
                                        "{",
                                        "null",
                                        "[]",
                                        "\"ready\"",
                                        "{}",
                                        "{\"status\":1}",
                                        "{\"status\":\"unreachable\"}",
                                        "{\"status\":\"READY\"}",
                                        "<html>",
                                        "{\"status\":\"ready\"} trailing",
                                        "{\"status\":\"\xff\"}"};
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(readiness(texts[i]), -1);
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    assert_int_equal(readiness(deep), -1);
    free(deep);
    assert_int_equal(status, REPLICA_READY);
    /* What is not of the right type is left out. */
    assert_int_equal(readiness("{\"status\":\"degraded\",\"dependencies\":{\"a\":1}}"), 0);
    assert_int_equal(readiness("{\"status\":\"degraded\",\"dependencies\":[1,null,{},"
                               "{\"name\":2,\"status\":\"down\"},{\"name\":\"x\",\"status\":3}]}"),
                     0);
    assert_int_equal(reasons.count, 0);
}

static void test_reasons_are_bounded(void **state)
{
    (void)state;
    char long_text[2000];
    for (size_t i = 0; i < sizeof(long_text); i += 2)
        memcpy(long_text + i, "\xc3\xa9", 2); /* é */
    reasons = (struct replica_reasons){0};
    for (size_t i = 0; i < 2 * REPLICA_REASONS_MAX; i++)
        replica_reasons_add(&reasons, long_text, sizeof(long_text));
    assert_int_equal(reasons.count, REPLICA_REASONS_MAX);
    assert_int_equal(strlen(reasons.texts[0]), REPLICA_REASON_SIZE - 2); /* no half of an é */
}

static void test_metrics(void **state)
{
    (void)state;
    read_metrics("# HELP bridge_in_flight 3\n"
                 "order_pipeline_build_info{service=\"bridge\",version=\"1\"} 1\n"
                 "bridge_outcomes_total{stage=\"persist\",outcome=\"done\",code=\"\"} 7\n"
                 "bridge_outcomes_total{stage=\"persist\",outcome=\"retry\",code=\"x\"} 100\n"
                 "bridge_outcomes_total{stage=\"index\",outcome=\"done\",code=\"\"} 5\n"
                 "orders_accepted_total{route=\"post_order\"} 3\n"
                 "orders_accepted_total{route=\"bulk_orders\"} 4\n"
                 "bridge_in_flight 12\n"
                 "order_queue_messages{queue=\"a \\\"b\\\\\"} NaN\n"
                 "order_queue_consumers{queue=\"a \\\"b\\\\\"} 2\n"
                 "process_start_time_seconds 1.7e9\n");
    assert_string_equal(metrics.service, "bridge");
    assert_string_equal(metrics.queue, "a \"b\\");
    assert_true(metrics.values[METRIC_STORED] == 7);
    assert_true(metrics.values[METRIC_SEARCHABLE] == 5);
    assert_true(metrics.values[METRIC_ACCEPTED] == 7);
    assert_true(metrics.values[METRIC_IN_FLIGHT] == 12);
    assert_true(isnan(metrics.values[METRIC_QUEUE_MESSAGES]));
    assert_true(metrics.values[METRIC_QUEUE_CONSUMERS] == 2);
    assert_true(metrics.values[METRIC_STARTED] == 1.7e9);
    assert_true(isnan(metrics.values[METRIC_EXECUTED]));
}

static void test_hostile_metrics(void **state)
{
    (void)state;
    static const char *const unfinished[] = {"order_queue_messages{queue=\"a} 1\n",
                                             "order_queue_messages{queue=\"a\\ 1\n",
                                             "order_queue_messages{queue=\" 1\n"};
    read_metrics("order_pipeline_build_info{service=\"../../etc\"} 1\n"
                 "bridge_in_flight -3\n"
                 "order_queue_messages Inf\n"
                 "order_queue_consumers 1e999\n"
                 "dead_letter_queue_messages five\n"
                 "process_start_time_seconds\n"
                 " 1\n{} 1\n}{ 2\n\n"
                 "orders_accepted_total 1e308\norders_accepted_total 1e308\n"
                 "worker_orders_total{outcome=\"done\"} 12"); /* cut */
    assert_string_equal(metrics.service, "");
    for (size_t i = 0; i < REPLICA_METRICS; i++)
        assert_true(isnan(metrics.values[i]));
    for (size_t i = 0; i < COUNT(unfinished); i++) {
        read_metrics(unfinished[i]);
        assert_string_equal(metrics.queue, "");
    }
    char long_name[REPLICA_QUEUE_SIZE + 40];
    (void)snprintf(long_name, sizeof(long_name), "order_queue_messages{queue=\"%0*d\"} 1\n",
                   REPLICA_QUEUE_SIZE, 1);
    read_metrics(long_name);
    assert_string_equal(metrics.queue, "");
    char line[2000];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    replica_read_metrics(line, sizeof(line), &metrics);
    replica_read_metrics("bridge_in_flight\0 1\n", 20, &metrics);
    assert_true(isnan(metrics.values[METRIC_IN_FLIGHT]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readiness),           cmocka_unit_test(test_no_readiness),
        cmocka_unit_test(test_reasons_are_bounded), cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_hostile_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
