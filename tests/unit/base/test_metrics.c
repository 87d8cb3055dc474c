#include "services/base/metrics.h"
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

static char *render(void)
{
    size_t len;
    char *text = metrics_render(&len);
    assert_int_equal(strlen(text), len);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("missing: %s\nin: %s", part, text);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

static void test_counters_and_gauges(void **state)
{
    (void)state;
    struct metric_counter *plain = metric_counter("t_plain_total", NULL, "Plain.");
    struct metric_counter *done = metric_counter("t_jobs_total", "outcome=\"done\"", "Jobs.");
    struct metric_gauge *gauge = metric_gauge("t_gauge", NULL, "A gauge.");
    struct metric_counter *retry = metric_counter("t_jobs_total", "outcome=\"retry\"", "Jobs.");
    assert_ptr_equal(metric_counter("t_jobs_total", "outcome=\"done\"", "Jobs."), done);
    assert_ptr_not_equal(done, retry);
    metric_add(plain, 1);
    metric_add(done, 2);
    metric_add(done, 3);
    metric_set(gauge, -1.5);
    metric_set(metric_gauge("t_unknown", NULL, "Unknown."), (double)-NAN);
    assert_int_equal(metric_count(done), 5);
    char *text = render();
    assert_has(text,
               "# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 1\n");
    /* one family stays together, whatever was registered in between */
    assert_has(text, "# HELP t_jobs_total Jobs.\n# TYPE t_jobs_total counter\n"
                     "t_jobs_total{outcome=\"done\"} 5\nt_jobs_total{outcome=\"retry\"} 0\n");
    assert_has(text, "# TYPE t_gauge gauge\nt_gauge -1.5\n");
    assert_has(text, "\nt_unknown NaN\n");
    free(text);
}

static void test_histogram(void **state)
{
    (void)state;
    struct metric_histogram *seconds =
        metric_histogram("t_seconds", "operation=\"x\"", "Durations.", METRIC_SECONDS);
    struct metric_histogram *ages = metric_histogram("t_ages", NULL, "Ages.", METRIC_AGES);
    struct metric_histogram *sizes = metric_histogram("t_sizes", NULL, "Sizes.", METRIC_SIZES);
    metric_observe(seconds, 0.0005); /* bounds are inclusive */
    metric_observe(seconds, 0.0006);
    metric_observe(seconds, 100);
    metric_observe(ages, 3600);
    metric_observe(ages, 3601);
    metric_observe(sizes, 0);
    metric_observe(sizes, 1000);
    char *text = render();
    assert_has(text, "# TYPE t_seconds histogram\n"
                     "t_seconds_bucket{operation=\"x\",le=\"0.0005\"} 1\n"
                     "t_seconds_bucket{operation=\"x\",le=\"0.001\"} 2\n");
    assert_has(text, "t_seconds_bucket{operation=\"x\",le=\"10\"} 2\n"
                     "t_seconds_bucket{operation=\"x\",le=\"+Inf\"} 3\n"
                     "t_seconds_sum{operation=\"x\"} 100.0011\n"
                     "t_seconds_count{operation=\"x\"} 3\n");
    assert_has(text, "t_ages_bucket{le=\"900\"} 0\nt_ages_bucket{le=\"3600\"} 1\n"
                     "t_ages_bucket{le=\"+Inf\"} 2\n");
    assert_has(text, "t_sizes_bucket{le=\"1\"} 1\n");
    assert_has(text, "t_sizes_bucket{le=\"500\"} 1\nt_sizes_bucket{le=\"1000\"} 2\n");
    assert_has(text, "t_sizes_bucket{le=\"10000\"} 2\nt_sizes_bucket{le=\"+Inf\"} 2\n"
                     "t_sizes_sum 1000\nt_sizes_count 2\n");
    free(text);
}

static double value_of(const char *text, const char *name)
{
    char line[128];
    double value;
    (void)snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(line), "%lf", &value), 1);
    return value;
}

static void test_process(void **state)
{
    (void)state;
    char *text = render();
    assert_true(value_of(text, "process_resident_memory_bytes") > 1e6);
    assert_true(value_of(text, "process_virtual_memory_bytes") >
                value_of(text, "process_resident_memory_bytes"));
    assert_true(value_of(text, "process_cpu_seconds_total") > 0);
    assert_true(value_of(text, "process_open_fds") >= 3);
    assert_true(value_of(text, "process_max_fds") >= 3);
    double start = value_of(text, "process_start_time_seconds"), now = (double)time(NULL);
    assert_true(start > now - 600 && start <= now + 1);
    assert_has(text, "# TYPE process_cpu_seconds_total counter\n");
    assert_int_equal(occurrences(text, "# TYPE process_open_fds"), 1);
    free(text);
}

static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    size_t len;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    char *text = metrics_render(&len);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(value_of(text, "process_open_fds") == 3);
    assert_true(value_of(text, "process_max_fds") == 3);
    free(text);
}

#define THREADS 4
#define ROUNDS 20000

static void *update_all(void *arg)
{
    (void)arg;
    struct metric_counter *counter = metric_counter("t_threads_total", NULL, "x");
    struct metric_histogram *histogram =
        metric_histogram("t_threads_sizes", NULL, "x", METRIC_SIZES);
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(counter, 1);
        metric_observe(histogram, 1);
        if (i % 5000 == 0)
            free(render());
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update_all, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *text = render();
    assert_has(text, "\nt_threads_total 80000\n");
    assert_has(text, "\nt_threads_sizes_sum 80000\nt_threads_sizes_count 80000\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_and_gauges),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_no_descriptor_is_left),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
