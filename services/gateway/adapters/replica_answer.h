/* What a service says on its admin port, as far as the status needs it. Nothing in an answer is
 * trusted: each text is cut and made printable, each number is finite or unknown. */
#ifndef GATEWAY_ADAPTERS_REPLICA_ANSWER_H
#define GATEWAY_ADAPTERS_REPLICA_ANSWER_H

#include <stddef.h>

enum replica_status {
    REPLICA_READY,
    REPLICA_DEGRADED,
    REPLICA_NOT_READY,
    REPLICA_STOPPING,
    REPLICA_UNREACHABLE, /* or its answer makes no sense */
};

/* "not ready" */
const char *replica_status_name(enum replica_status status);

#define REPLICA_REASONS_MAX 8
#define REPLICA_REASON_SIZE 256
#define REPLICA_SERVICE_SIZE 32
#define REPLICA_QUEUE_SIZE 256

struct replica_reasons {
    size_t count;
    char texts[REPLICA_REASONS_MAX][REPLICA_REASON_SIZE];
};

/* Add a text of any bytes; one too many is left out. */
void replica_reasons_add(struct replica_reasons *reasons, const char *text, size_t len);

/* Read /readyz. Returns 0, or -1 with both results untouched when it is no such report. */
int replica_read_readiness(const char *body, size_t len, enum replica_status *ret_status,
                           struct replica_reasons *ret_reasons) __attribute__((warn_unused_result));

enum replica_metric {
    METRIC_ACCEPTED,   /* counters: the sum of their series */
    METRIC_STORED,     /* by persisters, as the bridge heard */
    METRIC_SEARCHABLE, /* by indexers, as the bridge heard */
    METRIC_EXECUTED,   /* of a worker */
    METRIC_COUNTERS,
    METRIC_IN_FLIGHT = METRIC_COUNTERS, /* gauges */
    METRIC_QUEUE_MESSAGES,
    METRIC_QUEUE_CONSUMERS,
    METRIC_DEAD_MESSAGES,
    METRIC_STARTED, /* Unix time */
    REPLICA_METRICS,
};

struct replica_metrics {
    char service[REPLICA_SERVICE_SIZE]; /* "" unknown */
    char queue[REPLICA_QUEUE_SIZE];     /* that METRIC_QUEUE_… are about; "" unknown */
    double values[REPLICA_METRICS];     /* NAN: unknown */
};

/* Read /metrics. What is not there, or makes no sense, is unknown. */
void replica_read_metrics(const char *body, size_t len, struct replica_metrics *ret);

#endif
