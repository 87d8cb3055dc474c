/* Jobs, for people. */
#ifndef ORDERCTL_JOB_H
#define ORDERCTL_JOB_H

#include "services/orderctl/session.h"
#include <jansson.h>

void job_print_heading(void);
void job_print_row(const json_t *job);
void job_print(const json_t *job);

/* A line about a job that runs: how far it is, how fast it was on the whole until `now` (RFC 3339),
 * and how long it still takes. */
void job_print_progress(const json_t *job, const char *now);

/* Show progress until the job has finished, then how it ended. Ctrl-C ends the watching, not the
 * job. Returns what to end with: 0 only when the job is good (job_result.h). */
int job_watch(struct session *session, long long id);

#endif
