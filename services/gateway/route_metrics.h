/* How often each route answered with which status, and how long it took. */
#ifndef GATEWAY_ROUTE_METRICS_H
#define GATEWAY_ROUTE_METRICS_H

#include <stdint.h>

struct route_metrics;

/* Registered before threads start; asking again for the same route gives the same metrics. `route`
 * is a name such as "post_order". */
struct route_metrics *route_metrics(const char *route);

/* Count one answer; status 0 means that the connection was lost before there was one. */
void route_metrics_count(struct route_metrics *metrics, int status, int64_t duration_us);

#endif
