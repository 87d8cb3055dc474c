/* What a job has brought about, for people. */
#ifndef ORDERCTL_JOB_RESULT_H
#define ORDERCTL_JOB_RESULT_H

#include <jansson.h>
#include <stdbool.h>

/* Whether a job has ended as it should: it is done, and search has what PostgreSQL has, as far as
 * the job can tell. */
bool job_is_good(const json_t *job);

/* Print what its result says, behind the sentence about the job: the rest of the sentence, and
 * lines. */
void job_print_result(const json_t *job);

#endif
