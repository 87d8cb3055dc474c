/* The scheduler: refreshes the view of daily sales by schedule and on request, and does the jobs
 * that take long, each once across replicas. */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include "proto/error.h"

/* For struct service: `settings` is a struct scheduler_settings. */
int scheduler_run(const void *settings, int stop_fd, struct error *err);

#endif
