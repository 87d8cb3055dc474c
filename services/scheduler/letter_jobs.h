/* The kinds of jobs about many dead letters. */
#ifndef SCHEDULER_LETTER_JOBS_H
#define SCHEDULER_LETTER_JOBS_H

#include "services/scheduler/job_runner.h"

struct order_documents;

/* Discards each letter of the job that is still dead. */
struct job_kind discard_kind(void);

/* Replays each letter of the job that is still dead and whose body is an order. Goes on with more
 * when the fate of those before is known (replay_plan.h): a letter that names it as its origin was
 * archived, or Elasticsearch has its document. While PostgreSQL, Elasticsearch or anything on the
 * orders' way is down, it waits. `documents` lives longer than the runner. */
struct job_kind replay_kind(struct order_documents *documents);

#endif
