/* Pieces of the statements about jobs. Inside the database module. */
#ifndef CLIENTS_POSTGRES_JOB_SQL_H
#define CLIENTS_POSTGRES_JOB_SQL_H

#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/long_jobs.h"

/* When a lease that is given now ends. */
#define JOB_LEASE "clock_timestamp() + interval '5 s'"
_Static_assert(JOBS_LEASE_MS == 5000, "the interval");

/* Finished jobs of the kind $1 beyond JOBS_KEPT. */
#define JOBS_OLD                                                                                   \
    "finished IS NOT NULL AND kind = $1 AND id <= (SELECT id FROM jobs"                            \
    " WHERE finished IS NOT NULL AND kind = $1 ORDER BY id DESC OFFSET 10000 LIMIT 1)"
_Static_assert(JOBS_KEPT == 10000, "the OFFSET");

/* The beginning of a statement of a long job: the row of the job $1, if it is under the lease of
 * the token $2. The row stays locked until the statement is committed: nobody else claims the job
 * before that. All that the statement writes joins `held`, and it ends with JOB_HOLD: the answer is
 * for long_job_hold(). */
#define JOB_HELD                                                                                   \
    "WITH held AS (SELECT id, parameters, requested_by, cancel FROM jobs WHERE id = $1::bigint"    \
    " AND token = $2::bigint AND finished IS NULL AND lease > now() FOR UPDATE)"
#define JOB_HOLD " SELECT cancel FROM held"

/* Write "{1,2}": an array of bigint. `text` has 22 bytes for each number, and 3. */
void job_numbers_text(const int64_t *numbers, size_t count, char *text);

/* Send a statement whose first parameters are the job and the token, and others after them. Returns
 * as database_send(). */
#define JOB_MORE_VALUES_MAX 10
int job_send(struct database *database, const char *sql, const struct long_job *job,
             const char *const *more, int more_count, bool binary_result, database_done_fn *on_done,
             void *arg) __attribute__((warn_unused_result));

#endif
