/* The replicas of services, against admin ports of this test. */
#include "services/gateway/adapters/service_replicas.h"
#include "services/runtime/health.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- an admin port ---- */

static struct http_peer *peer;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int readyz_status, metrics_status;
static const char *readyz, *metrics;

#define READY "{\"status\":\"ready\",\"dependencies\":[]}"
#define METRICS                                                                                    \
    "order_pipeline_build_info{service=\"bridge\",version=\"1\"} 1\n"                              \
    "process_start_time_seconds 1000\n"

static void answers(int status, const char *ready, int status_of_metrics, const char *text)
{
    pthread_mutex_lock(&mutex);
    readyz_status = status;
    readyz = ready;
    metrics_status = status_of_metrics;
    metrics = text;
    pthread_mutex_unlock(&mutex);
}

static int serve(void *arg, const char *request, char *body, size_t size)
{
    (void)arg;
    bool ready = strncmp(request, "GET /readyz ", 12) == 0;
    pthread_mutex_lock(&mutex);
    int status = ready ? readyz_status : metrics_status;
    (void)snprintf(body, size, "%s", ready ? readyz : metrics);
    pthread_mutex_unlock(&mutex);
    return status;
}

/* ---- the replicas ---- */

static struct event_loop *loop;
static struct service_replicas *replicas;
static unsigned told;

static void on_told(void *arg)
{
    (void)arg;
    told++;
}

static void open_replicas(const char *urls)
{
    loop = event_loop_new();
    told = 0;
    replicas = service_replicas_new(loop, &(struct service_replicas_options){
                                              .urls = urls,
                                              .own_address = "127.0.0.1",
                                              .own_port = 9105,
                                              .on_told = on_told,
                                          });
}

static void close_replicas(void)
{
    service_replicas_free(replicas);
    event_loop_free(loop);
}

static void ask(void)
{
    unsigned before = told;
    service_replicas_ask(replicas);
    assert_int_equal(told, before); /* from the loop */
    run_loop_until(loop, told == before + 1);
}

static const struct service_replica *at(size_t index)
{
    return service_replicas_at(replicas, index);
}

static char *url_of_peer(const char *host)
{
    static char url[64];
    (void)snprintf(url, sizeof(url), "http://%s:%u", host, http_peer_port(peer));
    return url;
}

static int set_up(void **state)
{
    (void)state;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    health_set(health_check("redis", HEALTH_DEGRADED), false, "refused");
    peer = http_peer_new_answering(serve, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_peer_free(peer);
    curl_global_cleanup();
    return 0;
}

static int reset(void **state)
{
    (void)state;
    answers(200, READY, 200, METRICS);
    name_service_set(NULL);
    return 0;
}

static void test_this_gateway(void **state)
{
    (void)state;
    open_replicas(NULL);
    ask();
    assert_string_equal(at(0)->name, "gateway");
    assert_string_equal(at(0)->address, "127.0.0.1:9105");
    assert_int_equal(at(0)->status, REPLICA_DEGRADED);
    assert_string_equal(at(0)->reasons.texts[0], "redis: refused");
    assert_true(at(0)->metrics.values[METRIC_STARTED] > 0);
    assert_null(at(1));
    close_replicas();
}

static void test_rates(void **state)
{
    (void)state;
    static const char stored[] =
        METRICS "bridge_outcomes_total{stage=\"persist\",outcome=\"done\",code=\"\"} ";
    char text[sizeof(stored) + 20];
    (void)snprintf(text, sizeof(text), "%s100\n", stored);
    answers(200, READY, 200, text);
    open_replicas(url_of_peer("127.0.0.1"));
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_string_equal(at(1)->name, "bridge");
    assert_true(isnan(at(1)->rates[METRIC_STORED]));
    int64_t since_us = at(1)->since_us;
    test_clock_advance(2000);
    (void)snprintf(text, sizeof(text), "%s150\n", stored);
    ask();
    assert_true(at(1)->rates[METRIC_STORED] == 25);
    assert_int_equal(at(1)->since_us, since_us);
    test_clock_advance(1000);
    (void)snprintf(text, sizeof(text), "%s10\n", stored); /* a new process */
    ask();
    assert_true(isnan(at(1)->rates[METRIC_STORED]));
    test_clock_advance(61000); /* too long ago */
    ask();
    assert_true(isnan(at(1)->rates[METRIC_STORED]));
    /* No connection is kept for the next question. */
    wait_until(http_peer_closed(peer) == http_peer_connections(peer), event_loop_turn(loop, 10));
    close_replicas();
}

static void test_faults(void **state)
{
    (void)state;
    open_replicas(url_of_peer("127.0.0.1"));
    answers(503,
            "{\"status\":\"not ready\",\"dependencies\":[{\"name\":\"postgres\",\"status\":"
            "\"down\",\"reason\":\"refused\"}]}",
            500, "no");
    ask();
    assert_int_equal(at(1)->status, REPLICA_NOT_READY);
    assert_string_equal(at(1)->reasons.texts[0], "postgres: refused");
    assert_true(isnan(at(1)->metrics.values[METRIC_STARTED]));
    answers(200, "<html>", 200, METRICS);
    ask();
    assert_int_equal(at(1)->status, REPLICA_UNREACHABLE);
    assert_string_equal(at(1)->reasons.texts[0], "what answers there is no service of this system");
    answers(0, "", 200, METRICS); /* never */
    service_replicas_ask(replicas);
    test_clock_pass(1000, event_loop_turn(loop, 0));
    run_loop_until(loop, told == 3);
    assert_int_equal(at(1)->status, REPLICA_UNREACHABLE);
    assert_string_equal(at(1)->reasons.texts[0], "no answer within 1 s");
    /* Ready, but its metrics never come. */
    answers(200, READY, 0, "");
    service_replicas_ask(replicas);
    run_loop_until(loop, at(1)->status == REPLICA_READY);
    test_clock_pass(1000, event_loop_turn(loop, 0));
    run_loop_until(loop, told == 4);
    assert_int_equal(at(1)->status, REPLICA_READY);
    close_replicas();
}

static void test_refused(void **state)
{
    (void)state;
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", loopback_free_ports(1));
    open_replicas(url);
    ask();
    assert_int_equal(at(1)->status, REPLICA_UNREACHABLE);
    assert_string_equal(at(1)->name, "127.0.0.1");
    assert_non_null(strstr(at(1)->reasons.texts[0], "refused"));
    close_replicas();
}

static void test_names(void **state)
{
    (void)state;
    name_service_speak();
    open_replicas(url_of_peer("found.test"));
    ask();
    assert_string_equal(at(1)->name, "found.test");
    assert_string_equal(at(1)->address, "");
    assert_int_equal(at(1)->status, REPLICA_UNREACHABLE);
    assert_null(at(2));
    int64_t since_us = at(1)->since_us;
    ask();
    assert_int_equal(at(1)->since_us, since_us);

    name_service_set("127.0.0.1,127.0.0.2,::1"); /* of both families: those of IPv4 */
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_int_equal(at(2)->status, REPLICA_UNREACHABLE);
    assert_string_equal(at(1)->name, "bridge");
    assert_null(at(3));

    name_service_set(NULL); /* what is known is asked all the same */
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_int_equal(at(2)->status, REPLICA_UNREACHABLE);

    name_service_set("127.0.0.1"); /* scaled down */
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_null(at(2));
    close_replicas();
}

static void test_silent_names(void **state)
{
    (void)state;
    name_service_be_silent();
    open_replicas("http://slow.test:9101");
    for (unsigned i = 1; i <= 3; i++) {
        service_replicas_ask(replicas);
        test_clock_pass(1000, event_loop_turn(loop, 0));
        run_loop_until(loop, told == i);
        assert_string_equal(at(1)->reasons.texts[0], "its name could not be resolved within 1 s");
        assert_null(at(2));
    }
    name_service_speak();
    ask();
    assert_int_equal(at(1)->status, REPLICA_UNREACHABLE);
    close_replicas();
}

static void test_many(void **state)
{
    (void)state;
    char addresses[64 * 16] = "", urls[5 * 32] = "";
    for (int i = 0; i < 64; i++)
        (void)snprintf(addresses + strlen(addresses), 16, "%s127.0.1.%d", i > 0 ? "," : "", i + 1);
    for (int i = 0; i < 5; i++)
        (void)snprintf(urls + strlen(urls), 32, "http://found.test:%d ", 9200 + i);
    name_service_set(addresses);
    open_replicas(urls);
    ask();
    ask();
    size_t count = 0;
    while (at(count) != NULL)
        count++;
    assert_int_equal(count, 1 + SERVICE_REPLICAS_MAX);
    assert_non_null(strstr(service_replicas_fault(replicas), "more replicas"));
    close_replicas();
}

static void test_own_port(void **state)
{
    (void)state;
    open_replicas("http://127.0.0.1:9105 http://[::1]:9105 http://127.0.0.3:9105");
    ask();
    assert_null(at(1));
    close_replicas();
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/service_replicas.XXXXXX";
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    open_replicas(path);
    ask();
    assert_null(at(1));
    dprintf(fd, "%s\n", url_of_peer("127.0.0.1"));
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_null(service_replicas_fault(replicas));
    dprintf(fd, "nonsense\n");
    ask();
    assert_int_equal(at(1)->status, REPLICA_READY);
    assert_non_null(service_replicas_fault(replicas));
    assert_int_equal(ftruncate(fd, 0), 0);
    ask();
    assert_null(at(1));
    assert_null(service_replicas_fault(replicas));
    assert_int_equal(unlink(path), 0);
    ask();
    assert_non_null(strstr(service_replicas_fault(replicas), "No such file"));
    close(fd);
    close_replicas();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_this_gateway, reset),
        cmocka_unit_test_setup(test_rates, reset),
        cmocka_unit_test_setup(test_faults, reset),
        cmocka_unit_test_setup(test_refused, reset),
        cmocka_unit_test_setup(test_names, reset),
        cmocka_unit_test_setup(test_silent_names, reset),
        cmocka_unit_test_setup(test_many, reset),
        cmocka_unit_test_setup(test_own_port, reset),
        cmocka_unit_test_setup(test_file, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
