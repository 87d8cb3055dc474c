/* The table of jobs, for people: lists jobs, begins one about the search index, and cancels one.
 * Each function is one statement, and returns 0 or -1 as database_send(). What a callback is given
 * lives during the callback. */
#ifndef CLIENTS_POSTGRES_JOB_RECORDS_H
#define CLIENTS_POSTGRES_JOB_RECORDS_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/job_record.h"

/* None unless the answer is DATABASE_OK. */
typedef void jobs_listed_fn(void *arg, const struct job_record *jobs, size_t count,
                            const struct database_answer *answer);

/* The jobs of ids below `before_id`, the highest first, at most `limit`. */
int job_records_list(struct database *database, int64_t before_id, unsigned limit,
                     jobs_listed_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The newest jobs, and besides them the oldest unfinished ones that take long; the highest id
 * first.
 */
#define JOB_RECORDS_NEWEST 5
#define JOB_RECORDS_UNFINISHED 10
int job_records_overview(struct database *database, jobs_listed_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* The job of this id, or none. */
int job_records_find(struct database *database, int64_t id, jobs_listed_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Begin a job about the search index (JOB_KINDS_INDEX), unless there is one that has not ended.
 * `job` is the new one, or the one that stands in the way; NULL when another was begun or ended
 * just now: ask again. */
typedef void job_begun_fn(void *arg, const struct job_record *job, bool begun,
                          const struct database_answer *answer);
int job_records_begin(struct database *database, const struct index_job_request *request,
                      job_begun_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* Cancel a job that takes long: one that waits ends at once, one that runs is ended by its
 * scheduler. The job afterwards, or as it was when it cannot be canceled; or none. */
typedef void job_canceled_fn(void *arg, const struct job_record *job, bool canceled,
                             const struct database_answer *answer);
int job_records_cancel(struct database *database, int64_t id, job_canceled_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
