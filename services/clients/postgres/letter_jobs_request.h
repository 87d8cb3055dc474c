/* Asks the schedulers to replay or discard many letters: a gateway's side of letter_jobs.h. */
#ifndef CLIENTS_POSTGRES_LETTER_JOBS_REQUEST_H
#define CLIENTS_POSTGRES_LETTER_JOBS_REQUEST_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/letter.h"

/* `job` is the new job's id, and `total` how many letters it has; 0: letters are not archived now,
 * so none are replayed. Both are 0 unless the answer is DATABASE_OK. */
typedef void letter_job_requested_fn(void *arg, int64_t job, int64_t total,
                                     const struct database_answer *answer);

/* Make a job and its items, which are fixed from now on, in one statement. Returns 0 or -1 as
 * database_send(). */
int letter_job_request(struct database *database, const struct letter_job_request *request,
                       letter_job_requested_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
