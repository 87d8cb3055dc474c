/* The metrics of a process. Registered metrics form families (one name, one HELP and TYPE line)
 * with a series for each set of labels; both are lists that only grow, under a lock that updates
 * never take. Rendering reads each value once; a histogram's count is the sum of the buckets just
 * read, so that a scrape is consistent in itself. */
#include "services/base/metrics.h"
#include "services/base/memory.h"
#include "services/base/process_metrics.h"
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MAX 16

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct buckets {
    size_t count;
    double bounds[BUCKETS_MAX]; /* upper, inclusive; +Inf follows */
};

static const struct buckets buckets_of[] = {
    [METRIC_SECONDS] = {14,
                        {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
                         10}},
    [METRIC_AGES] = {16,
                     {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
                      3600}},
    [METRIC_SIZES] = {13, {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}},
};

struct metric_counter {
    _Atomic uint64_t value;
};

struct metric_gauge {
    _Atomic double value;
};

struct metric_histogram {
    const struct buckets *buckets;
    _Atomic uint64_t counts[BUCKETS_MAX + 1];
    _Atomic double sum;
};

struct series {
    struct series *next;
    char *labels; /* "" when none */
    union {
        struct metric_counter counter;
        struct metric_gauge gauge;
        struct metric_histogram histogram;
    };
};

struct family {
    struct family *next;
    char *name, *help;
    enum metric_type type;
    const struct buckets *buckets;
    struct series *series, **series_end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct family *families, **families_end = &families;

static struct family *family_get(const char *name, const char *help, enum metric_type type,
                                 const struct buckets *buckets)
{
    for (struct family *family = families; family != NULL; family = family->next) {
        if (strcmp(family->name, name) == 0) {
            assert(family->type == type && family->buckets == buckets);
            return family;
        }
    }
    struct family *family = memory_new(sizeof(*family));
    family->name = memory_copy_text(name);
    family->help = memory_copy_text(help);
    family->type = type;
    family->buckets = buckets;
    family->series_end = &family->series;
    *families_end = family;
    families_end = &family->next;
    return family;
}

static struct series *series_get(const char *name, const char *labels, const char *help,
                                 enum metric_type type, const struct buckets *buckets)
{
    if (labels == NULL)
        labels = "";
    (void)pthread_mutex_lock(&lock);
    struct family *family = family_get(name, help, type, buckets);
    struct series *series = family->series;
    while (series != NULL && strcmp(series->labels, labels) != 0)
        series = series->next;
    if (series == NULL) {
        series = memory_new(sizeof(*series));
        series->labels = memory_copy_text(labels);
        if (type == METRIC_HISTOGRAM)
            series->histogram.buckets = buckets;
        *family->series_end = series;
        family->series_end = &series->next;
    }
    (void)pthread_mutex_unlock(&lock);
    return series;
}

struct metric_counter *metric_counter(const char *name, const char *labels, const char *help)
{
    return &series_get(name, labels, help, METRIC_COUNTER, NULL)->counter;
}

struct metric_gauge *metric_gauge(const char *name, const char *labels, const char *help)
{
    return &series_get(name, labels, help, METRIC_GAUGE, NULL)->gauge;
}

struct metric_histogram *metric_histogram(const char *name, const char *labels, const char *help,
                                          enum metric_buckets measured)
{
    return &series_get(name, labels, help, METRIC_HISTOGRAM, &buckets_of[measured])->histogram;
}

void metric_add(struct metric_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

uint64_t metric_count(const struct metric_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void metric_set(struct metric_gauge *gauge, double value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

void metric_observe(struct metric_histogram *histogram, double value)
{
    const double *bounds = histogram->buckets->bounds;
    size_t bucket = 0, end = histogram->buckets->count;
    while (bucket < end) {
        size_t middle = (bucket + end) / 2;
        if (value > bounds[middle])
            bucket = middle + 1;
        else
            end = middle;
    }
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    double sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&histogram->sum, &sum, sum + value,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static void render_value(FILE *out, const char *name, const char *labels, double value)
{
    const char *open = labels[0] != '\0' ? "{" : "", *close = labels[0] != '\0' ? "}" : "";
    if (isnan(value)) /* printf() would write a sign too */
        fprintf(out, "%s%s%s%s NaN\n", name, open, labels, close);
    else
        fprintf(out, "%s%s%s%s %.15g\n", name, open, labels, close, value);
}

static void render_histogram(FILE *out, const char *name, const struct series *series)
{
    const struct metric_histogram *histogram = &series->histogram;
    const char *comma = series->labels[0] != '\0' ? "," : "";
    uint64_t total = 0;
    for (size_t i = 0; i <= histogram->buckets->count; i++) {
        char bound[32] = "+Inf";
        if (i < histogram->buckets->count)
            (void)snprintf(bound, sizeof(bound), "%g", histogram->buckets->bounds[i]);
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        fprintf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, series->labels, comma, bound,
                (unsigned long long)total);
    }
    char part[256];
    (void)snprintf(part, sizeof(part), "%s_sum", name);
    render_value(out, part, series->labels,
                 atomic_load_explicit(&histogram->sum, memory_order_relaxed));
    (void)snprintf(part, sizeof(part), "%s_count", name);
    render_value(out, part, series->labels, (double)total);
}

static void render_family(FILE *out, const struct family *family)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
            type_names[family->type]);
    for (const struct series *series = family->series; series != NULL; series = series->next) {
        switch (family->type) {
        case METRIC_COUNTER:
            render_value(out, family->name, series->labels, (double)metric_count(&series->counter));
            break;
        case METRIC_GAUGE:
            render_value(out, family->name, series->labels,
                         atomic_load_explicit(&series->gauge.value, memory_order_relaxed));
            break;
        case METRIC_HISTOGRAM:
            render_histogram(out, family->name, series);
            break;
        }
    }
}

char *metrics_render(size_t *ret_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    if (out == NULL)
        abort();
    (void)pthread_mutex_lock(&lock);
    for (const struct family *family = families; family != NULL; family = family->next)
        render_family(out, family);
    (void)pthread_mutex_unlock(&lock);
    process_metrics_render(out);
    if (fclose(out) != 0)
        abort();
    return text;
}
