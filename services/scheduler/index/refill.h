/* The kind of jobs that fills the index that is there: one that came back empty, or old, from
 * wherever. A scheduler asks for it (index_watch.h), nobody else does. */
#ifndef SCHEDULER_INDEX_REFILL_H
#define SCHEDULER_INDEX_REFILL_H

#include "services/scheduler/job_runner.h"

struct index_context;

/* What the kind is made of; outlives the runner. */
struct refill_options {
    const struct index_context *context;
    struct job_kind repair; /* takes the jobs of the same name that are no refills */
};

/* A job with the parameter "refill": true copies all orders. The share of the orders that search
 * lacks is told as it goes, in the row search_index. */
struct job_kind refill_kind(const struct refill_options *options);

#endif
