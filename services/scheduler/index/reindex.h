/* The kind of job that makes the index of the orders again, with the settings and the mapping of
 * today, and then puts the new one in the place of the old. Search goes on meanwhile. */
#ifndef SCHEDULER_INDEX_REINDEX_H
#define SCHEDULER_INDEX_REINDEX_H

#include "services/scheduler/job_runner.h"

struct index_context;

/* `context` outlives the runner. */
struct job_kind reindex_kind(const struct index_context *context);

#endif
