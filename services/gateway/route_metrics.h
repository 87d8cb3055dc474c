/* How often each route answered with which status, and how long it took. */
#ifndef GATEWAY_ROUTE_METRICS_H
#define GATEWAY_ROUTE_METRICS_H

#include <stdint.h>

struct route_metrics;

/* Registered before threads start. `route` is a name such as "post_order"; each of the `expected`
 * statuses (at most 16, 0 after the last; kept) is counted by itself, any other as "other". */
struct route_metrics *route_metrics(const char *route, const int *expected);

/* Count one answer; status 0 means that the connection was lost before there was one. */
void route_metrics_count(struct route_metrics *metrics, int status, int64_t duration_us);

#endif
