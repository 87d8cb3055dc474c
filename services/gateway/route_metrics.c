#include "services/gateway/route_metrics.h"
#include "services/common/metrics.h"
#include <stdio.h>
#include <stdlib.h>

static const int statuses[] = {200, 201, 202, 400, 401, 403, 404, 405, 413,
                               414, 417, 422, 431, 500, 502, 503, 504};
#define STATUS_COUNT (sizeof(statuses) / sizeof(statuses[0]))

struct route_metrics {
    struct metric_counter *answers[STATUS_COUNT];
    struct metric_counter *lost;
    struct metric_histogram *seconds;
};

static struct metric_counter *answers(const char *route, const char *status)
{
    char labels[96];
    snprintf(labels, sizeof(labels), "route=\"%s\",status=\"%s\"", route, status);
    return metric_counter("http_requests_total", labels,
                          "HTTP requests by route and status; \"lost\" had no answer");
}

struct route_metrics *route_metrics(const char *route)
{
    struct route_metrics *metrics = malloc(sizeof(*metrics));
    if (metrics == NULL)
        abort();
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        char status[12];
        snprintf(status, sizeof(status), "%d", statuses[i]);
        metrics->answers[i] = answers(route, status);
    }
    metrics->lost = answers(route, "lost");
    char labels[64];
    snprintf(labels, sizeof(labels), "route=\"%s\"", route);
    metrics->seconds = metric_histogram_seconds("http_request_duration_seconds", labels,
                                                "From the end of the request's body to the end of "
                                                "its answer");
    return metrics;
}

void route_metrics_count(struct route_metrics *metrics, int status, int64_t duration_us)
{
    struct metric_counter *counter = metrics->lost;
    for (size_t i = 0; i < STATUS_COUNT; i++)
        if (statuses[i] == status)
            counter = metrics->answers[i];
    metric_add(counter, 1);
    metric_observe(metrics->seconds, (double)duration_us / 1e6);
}
