/* The statuses that a route answers with are known, so a counter is found without a lock. */
#include "services/gateway/route_metrics.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <assert.h>
#include <stdio.h>

#define STATUSES_MAX 20

struct route_metrics {
    const int *statuses; /* ends with 0 */
    struct metric_counter *answers[STATUSES_MAX];
    struct metric_counter *other, *lost;
    struct metric_histogram *seconds;
};

static struct metric_counter *answers(const char *route, const char *status)
{
    char labels[96];
    snprintf(labels, sizeof(labels), "route=\"%s\",status=\"%s\"", route, status);
    return metric_counter("http_requests_total", labels,
                          "HTTP requests by route and status; \"lost\" had no answer");
}

struct route_metrics *route_metrics(const char *route, const int *expected)
{
    struct route_metrics *metrics = memory_new(sizeof(*metrics));
    metrics->statuses = expected;
    for (size_t i = 0; expected[i] != 0; i++) {
        assert(i < STATUSES_MAX);
        char status[12];
        snprintf(status, sizeof(status), "%d", expected[i]);
        metrics->answers[i] = answers(route, status);
    }
    metrics->other = answers(route, "other");
    metrics->lost = answers(route, "lost");
    char labels[64];
    snprintf(labels, sizeof(labels), "route=\"%s\"", route);
    metrics->seconds = metric_histogram("http_request_duration_seconds", labels,
                                        "From the end of the request's body to the end of "
                                        "its answer",
                                        METRIC_SECONDS);
    return metrics;
}

void route_metrics_count(struct route_metrics *metrics, int status, int64_t duration_us)
{
    struct metric_counter *counter = status == 0 ? metrics->lost : metrics->other;
    for (size_t i = 0; metrics->statuses[i] != 0; i++)
        if (metrics->statuses[i] == status)
            counter = metrics->answers[i];
    metric_add(counter, 1);
    metric_observe(metrics->seconds, (double)duration_us / 1e6);
}
