/* Counters, gauges and histograms, in Prometheus' text exposition format 0.0.4. Registered from
 * any thread (under a lock); updated from any thread by atomics without locks. They live as long as
 * the process. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct metric_counter;
struct metric_gauge;
struct metric_histogram;

/* `labels` is the inside of the braces (stage="persist",outcome="done", values escaped) or NULL.
 * Metrics of one name share its first help. Asking again for the same name and labels gives the
 * same metric; a name has one type. */
struct metric_counter *metric_counter(const char *name, const char *labels, const char *help);
struct metric_gauge *metric_gauge(const char *name, const char *labels, const char *help);
/* What a histogram's buckets are for. */
enum metric_buckets {
    METRIC_SECONDS, /* how long something took: 0.5 ms to 10 s */
    METRIC_AGES,    /* how old something is: 5 ms to an hour */
    METRIC_SIZES,   /* 1 to 10,000 */
};
struct metric_histogram *metric_histogram(const char *name, const char *labels, const char *help,
                                          enum metric_buckets measured);

void metric_add(struct metric_counter *counter, uint64_t n);
void metric_set(struct metric_gauge *gauge, double value); /* NaN: unknown */
void metric_observe(struct metric_histogram *histogram, double value);
uint64_t metric_count(const struct metric_counter *counter);

/* All metrics as text; malloc'd, *ret_len bytes, free() it. Any thread. */
char *metrics_render(size_t *ret_len);

#endif
