#include "services/gateway/adapters/status_report.h"
#include "tests/unit/support/cmocka_headers.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1790000000000000) /* 2026-09-21T14:13:20Z */
#define NO_LETTERS "{\"dead\":0,\"oldest_died_at\":null,\"by_reason\":{}}"

static struct service_replica gateway, bridge;
static const struct service_replica *replicas[] = {&gateway, &bridge};
static struct health_state dependencies[2];
static struct status_facts facts;
static struct status_memory memory;
static json_t *report;

static json_t *json(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void set_part(enum overview_part part, const char *text)
{
    json_decref(facts.overview[part]);
    facts.overview[part] = text != NULL ? json(text) : NULL;
}

static void ready(struct service_replica *replica, const char *name, const char *address)
{
    service_replica_init(replica, name, "http://name:1", address, NULL, NULL, NULL);
    replica->status = REPLICA_READY;
    replica->since_us = NOW_US - 3600 * INT64_C(1000000);
}

static int all_well(void **state)
{
    (void)state;
    ready(&gateway, "gateway", "127.0.0.1:9105");
    ready(&bridge, "bridge", "10.0.0.2:9101");
    gateway.metrics.values[METRIC_ACCEPTED] = 100;
    gateway.rates[METRIC_ACCEPTED] = 12.345;
    bridge.metrics.values[METRIC_STORED] = 90;
    bridge.metrics.values[METRIC_QUEUE_MESSAGES] = 3;
    bridge.metrics.values[METRIC_QUEUE_CONSUMERS] = 1;
    bridge.metrics.values[METRIC_DEAD_MESSAGES] = 0;
    bridge.metrics.values[METRIC_IN_FLIGHT] = 8;
    dependencies[0] =
        (struct health_state){.dependency = "rabbitmq", .up = true, .since_us = NOW_US};
    dependencies[1] =
        (struct health_state){.dependency = "redis", .since_us = NOW_US - 1, .reason = "refused"};
    facts = (struct status_facts){.at_us = NOW_US,
                                  .replicas = replicas,
                                  .replica_count = 2,
                                  .dependencies = dependencies,
                                  .dependency_count = COUNT(dependencies),
                                  .urls_set = true,
                                  .documents = 41,
                                  .queue = "order_queue"};
    memory = (struct status_memory){0};
    set_part(OVERVIEW_ROWS, "42");
    set_part(OVERVIEW_DEAD_LETTERS, NO_LETTERS);
    set_part(OVERVIEW_ARCHIVE, "{\"state\":\"on\",\"fault\":null}");
    set_part(OVERVIEW_INDEX, "{\"missing\":null,\"fault\":null,\"documents\":7}");
    set_part(OVERVIEW_OUTBOX, "{\"orders\":0,\"oldest_seconds\":null}");
    set_part(OVERVIEW_LAST_REFRESH, "\"2026-09-21T14:00:00.000000Z\"");
    facts.jobs = json_array();
    return 0;
}

static int forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < OVERVIEW_PARTS; i++)
        set_part((enum overview_part)i, NULL);
    json_decref(facts.jobs);
    json_decref(report);
    report = NULL;
    return 0;
}

static const json_t *render(void)
{
    size_t len;
    char *text = status_report_render(&facts, &memory, &len);
    assert_int_equal(strlen(text), len);
    json_decref(report);
    report = json(text);
    free(text);
    return report;
}

/* What is said first, and how much more is wrong. */
static void assert_summary(const char *expected)
{
    const json_t *told = render();
    assert_string_equal(json_string_value(json_object_get(told, "summary")), expected);
    assert_int_equal(json_is_true(json_object_get(told, "well")), strncmp(expected, "All", 3) == 0);
}

static void test_well(void **state)
{
    (void)state;
    assert_summary("All is well.");
    char *text = json_dumps(report, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    assert_string_equal(
        text,
        "{\"archive\":{\"fault\":null,\"state\":\"on\"},\"at\":\"2026-09-21T14:13:20Z\","
        "\"dead_letters\":"
        "{\"by_reason\":{},\"dead\":0,\"oldest_died_at\":null}"
        ",\"dependencies\":[{\"name\":\"rabbitmq\",\"reason\":null,\"since\":\"2026-09-21T14:13:"
        "20Z\","
        "\"status\":\"up\"},{\"name\":\"redis\",\"reason\":\"refused\",\"since\":"
        "\"2026-09-21T14:13:19.999999Z\",\"status\":\"down\"}]"
        ",\"documents\":41,\"in_flight\":8,\"index\":{\"documents\":7,\"fault\":null,\"missing\":"
        "null}"
        ",\"jobs\":[],\"last_refresh_at\":"
        "\"2026-09-21T14:00:00.000000Z\",\"outbox\":{\"oldest_seconds\":null,\"orders\":0},"
        "\"problems\":[],\"queue\":{\"consumers\":1,\"dead_messages\":0,\"messages\":3,\"name\":"
        "\"order_queue\"},"
        "\"rates\":{\"accepted_per_second\":12.3,\"searchable_per_second\":null,"
        "\"stored_per_second\":null},\"rows_estimated\":42,\"services\":[{\"name\":\"gateway\","
        "\"rates\":{\"accepted_per_second\":12.3},\"reasons\":[],\"replica\":"
        "\"127.0.0.1:9105\",\"since\":\"2026-09-21T13:13:20Z\",\"status\":\"ready\",\"url\":"
        "\"http://name:1\"},{\"name\":\"bridge\",\"rates\":{\"stored_per_second\":null},"
        "\"reasons\":[],\"replica\":\"10.0.0.2:9101\",\"since\":\"2026-09-21T13:13:20Z\","
        "\"status\":\"ready\",\"url\":\"http://name:1\"}],\"summary\":\"All is well.\","
        "\"well\":true}");
    free(text);
    facts.urls_set = false;
    assert_summary("All that this gateway can see is well; "
                   "SERVICE_ADMIN_URLS names no other service.");
}

static void test_services(void **state)
{
    (void)state;
    bridge.status = REPLICA_DEGRADED;
    replica_reasons_add(&bridge.reasons, "persister: none", 15);
    assert_summary(
        "bridge 10.0.0.2:9101 has been degraded since 2026-09-21T13:13:20Z: persister: none.");
    bridge.status = REPLICA_STOPPING;
    bridge.reasons.count = 0;
    assert_summary("bridge 10.0.0.2:9101 has been stopping since 2026-09-21T13:13:20Z.");
    gateway.status = REPLICA_NOT_READY;
    assert_summary(
        "gateway (this one) has been not ready since 2026-09-21T13:13:20Z; 1 more thing is wrong.");
    gateway.status = REPLICA_READY;
    bridge.status = REPLICA_UNREACHABLE;
    bridge.address[0] = '\0';
    assert_summary("bridge http://name:1 has been unreachable since 2026-09-21T13:13:20Z.");
}

/* Before it has answered once, it is known by the host of its URL. */
static void test_no_name_yet(void **state)
{
    (void)state;
    static const struct {
        const char *host, *address, *told;
    } cases[] = {
        {"10.0.0.2", "10.0.0.2:9101", "a service at 10.0.0.2:9101"},
        {"::1", "[::1]:9101", "a service at [::1]:9101"},
        {"workers", "10.0.0.2:9101", "workers 10.0.0.2:9101"},
        {"workers", "", "workers http://name:1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char sentence[200];
        ready(&bridge, cases[i].host, cases[i].address);
        bridge.status = REPLICA_UNREACHABLE;
        (void)snprintf(sentence, sizeof(sentence),
                       "%s has been unreachable since 2026-09-21T13:13:20Z.", cases[i].told);
        assert_summary(sentence);
    }
}

/* All of them are told, first what keeps orders from going on. */
static void test_problems(void **state)
{
    (void)state;
    struct service_replica lost;
    ready(&lost, "10.0.0.3", "10.0.0.3:9103");
    lost.status = REPLICA_UNREACHABLE;
    bridge.status = REPLICA_NOT_READY;
    replica_reasons_add(&bridge.reasons, "indexers: no worker takes jobs", 30);
    const struct service_replica *all[] = {&gateway, &lost, &bridge};
    facts.replicas = all;
    facts.replica_count = COUNT(all);
    set_part(OVERVIEW_DEAD_LETTERS, "{\"dead\":1,\"oldest_died_at\":\"2026-09-01T00:00:00.000000Z\""
                                    ",\"by_reason\":{\"malformed\":1}}");
    assert_summary("bridge 10.0.0.2:9101 has been not ready since 2026-09-21T13:13:20Z: "
                   "indexers: no worker takes jobs; 2 more things are wrong.");
    static const char *const told[] = {
        ("bridge 10.0.0.2:9101 has been not ready since 2026-09-21T13:13:20Z: "
         "indexers: no worker takes jobs"),
        "a service at 10.0.0.3:9103 has been unreachable since 2026-09-21T13:13:20Z",
        "1 dead letter waits for a decision, the oldest died at 2026-09-01T00:00:00.000000Z",
    };
    const json_t *problems = json_object_get(report, "problems");
    assert_int_equal(json_array_size(problems), COUNT(told));
    for (size_t i = 0; i < COUNT(told); i++)
        assert_string_equal(json_string_value(json_array_get(problems, i)), told[i]);
}

static void test_since(void **state)
{
    (void)state;
    bridge.metrics.values[METRIC_QUEUE_CONSUMERS] = 0;
    static const char words[] =
        "no bridge has taken orders out of order_queue since 2026-09-21T14:13:20Z.";
    assert_summary(words);
    facts.at_us += 60000000;
    assert_summary(words); /* since it was first seen */
    bridge.metrics.values[METRIC_QUEUE_CONSUMERS] = 1;
    assert_summary("All is well.");
    bridge.metrics.values[METRIC_QUEUE_CONSUMERS] = 0;
    assert_summary("no bridge has taken orders out of order_queue since 2026-09-21T14:14:20Z.");
}

/* Of two groups, each with a queue and bridges of its own. */
static void test_queues(void **state)
{
    (void)state;
    struct service_replica others[2];
    const struct service_replica *all[] = {&gateway, &bridge, &others[0], &others[1]};
    for (size_t i = 0; i < COUNT(others); i++) {
        ready(&others[i], "bridge", "10.0.0.4:9101");
        (void)strcpy(others[i].metrics.queue, "other");
        others[i].metrics.values[METRIC_QUEUE_MESSAGES] = 5 + (double)i;
        others[i].metrics.values[METRIC_QUEUE_CONSUMERS] = 2;
        others[i].metrics.values[METRIC_DEAD_MESSAGES] = 1;
    }
    (void)strcpy(bridge.metrics.queue, "order_queue");
    facts.replicas = all;
    facts.replica_count = COUNT(all);
    assert_summary("All is well.");
    char *text = json_dumps(json_object_get(report, "queue"), JSON_COMPACT);
    assert_string_equal(text, "{\"name\":\"order_queue, other\",\"messages\":9,\"consumers\":3,"
                              "\"dead_messages\":1}");
    free(text);
    for (size_t i = 0; i < COUNT(others); i++)
        others[i].metrics.values[METRIC_QUEUE_CONSUMERS] = 0;
    assert_summary("no bridge has taken orders out of other since 2026-09-21T14:13:20Z.");
    (void)strcpy(bridge.metrics.queue, "no text \xff");
    (void)render();
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(report, "queue"), "name")), "?");
}

static void test_dead_letters(void **state)
{
    (void)state;
    set_part(OVERVIEW_DEAD_LETTERS, "{\"dead\":1,\"oldest_died_at\":\"2026-09-01T00:00:00.000000Z\""
                                    ",\"by_reason\":{\"malformed\":1}}");
    assert_summary(
        "1 dead letter waits for a decision, the oldest died at 2026-09-01T00:00:00.000000Z.");
    /* Those in the queue are on their way into the archive, unless there is none. */
    set_part(OVERVIEW_DEAD_LETTERS, NO_LETTERS);
    bridge.metrics.values[METRIC_DEAD_MESSAGES] = 2;
    assert_summary("All is well.");
    set_part(OVERVIEW_ARCHIVE, "{\"state\":\"off\",\"fault\":null}");
    assert_summary("2 dead letters are in RabbitMQ.");
    set_part(OVERVIEW_ARCHIVE, "{\"state\":\"on\",\"fault\":\"there is a foreign consumer\"}");
    assert_summary("dead letters have not been archived since 2026-09-21T14:13:20Z: "
                   "there is a foreign consumer.");
}

static void test_stores(void **state)
{
    (void)state;
    set_part(OVERVIEW_OUTBOX, "{\"orders\":5,\"oldest_seconds\":120.5}");
    assert_summary("stored orders have waited for RabbitMQ since 2026-09-21T14:11:19Z.");
    set_part(OVERVIEW_OUTBOX, NULL);
    assert_summary("PostgreSQL has left questions unanswered since 2026-09-21T14:13:20Z.");
    assert_true(json_is_null(json_object_get(report, "outbox")));
    facts.documents = NAN;
    assert_summary("PostgreSQL has left questions unanswered since 2026-09-21T14:13:20Z.");
    assert_true(json_is_null(json_object_get(report, "documents")));
    /* The gateway's own readiness tells of its servers better. */
    gateway.status = REPLICA_DEGRADED;
    replica_reasons_add(&gateway.reasons, "postgres: refused", 17);
    assert_summary(
        "gateway (this one) has been degraded since 2026-09-21T13:13:20Z: postgres: refused.");
}

/* While it is busy, as with a reindex, it leaves a question or two unanswered. */
static void test_documents_are_not_counted(void **state)
{
    (void)state;
    facts.documents = NAN;
    assert_summary("All is well.");
    facts.at_us += 4999999;
    assert_summary("All is well.");
    facts.at_us += 1;
    assert_summary("Elasticsearch has not counted its documents since 2026-09-21T14:13:20Z.");
    facts.documents = 41;
    assert_summary("All is well.");
    facts.documents = NAN;
    assert_summary("All is well.");
}

/* A reason is of the library's or the server's words. */
static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *reason, *told;
    } cases[] = {
        {"", ""},
        {"\xff", "\xef\xbf\xbd"},
        {"a \"b\"\\\n", "a \"b\"\\\n"},
        {"caf\xc3", "caf\xef\xbf\xbd"}, /* cut within a character */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        (void)snprintf(dependencies[1].reason, HEALTH_REASON_SIZE, "%s", cases[i].reason);
        const json_t *redis = json_array_get(json_object_get(render(), "dependencies"), 1);
        assert_string_equal(json_string_value(json_object_get(redis, "reason")), cases[i].told);
    }
    memset(dependencies[1].reason, 1, HEALTH_REASON_SIZE - 1); /* as long as it gets */
    const json_t *redis = json_array_get(json_object_get(render(), "dependencies"), 1);
    assert_int_equal(json_string_length(json_object_get(redis, "reason")), HEALTH_REASON_SIZE - 1);
}

static void test_nothing_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < OVERVIEW_PARTS; i++)
        set_part((enum overview_part)i, NULL);
    json_decref(facts.jobs);
    facts.jobs = NULL;
    facts.documents = NAN;
    facts.replica_count = 1;
    facts.urls_fault = "cannot read the file: No such file or directory";
    service_replica_set_unreachable(&gateway, "\xff\xfe");
    const json_t *told = render();
    assert_true(json_is_false(json_object_get(told, "well")));
    assert_true(json_is_null(json_object_get(told, "queue")));
    assert_true(json_is_null(json_object_get(told, "in_flight")));
    assert_true(json_is_null(json_object_get(told, "jobs")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_well, all_well, forget),
        cmocka_unit_test_setup_teardown(test_services, all_well, forget),
        cmocka_unit_test_setup_teardown(test_no_name_yet, all_well, forget),
        cmocka_unit_test_setup_teardown(test_problems, all_well, forget),
        cmocka_unit_test_setup_teardown(test_since, all_well, forget),
        cmocka_unit_test_setup_teardown(test_dead_letters, all_well, forget),
        cmocka_unit_test_setup_teardown(test_queues, all_well, forget),
        cmocka_unit_test_setup_teardown(test_stores, all_well, forget),
        cmocka_unit_test_setup_teardown(test_documents_are_not_counted, all_well, forget),
        cmocka_unit_test_setup_teardown(test_reasons, all_well, forget),
        cmocka_unit_test_setup_teardown(test_nothing_is_known, all_well, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
