/* The kinds of jobs that compare the index with PostgreSQL, and say in the row search_index what
 * they have found. */
#ifndef SCHEDULER_INDEX_VERIFY_JOBS_H
#define SCHEDULER_INDEX_VERIFY_JOBS_H

#include "services/scheduler/job_runner.h"

struct index_context;

/* Parameters: "full": all orders, else those of the last 7 days. "fields": every field of every
 * order. "repair": "within_limits", of a job that a scheduler begins: mend what is little.
 * `context` outlives the runner. */
struct job_kind verify_kind(const struct index_context *context);

/* The same, and what differs is mended. "delete_extra": documents without an order are deleted. */
struct job_kind repair_kind(const struct index_context *context);

#endif
