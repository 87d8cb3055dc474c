/* Metrics about the process itself, by the names that Prometheus' client libraries use where there
 * is one (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics). */
#ifndef BASE_PROCESS_METRICS_H
#define BASE_PROCESS_METRICS_H

#include <stdio.h>

/* As of now, in the exposition format. Part of metrics_render(). */
void process_metrics_render(FILE *out);

#endif
