/* Jobs, for people. */
#ifndef ORDERCTL_JOB_H
#define ORDERCTL_JOB_H

#include "services/orderctl/session.h"
#include <jansson.h>

void job_print_heading(void);
void job_print_row(const json_t *job);
void job_print(const json_t *job);

/* Show progress until the job has finished, then how it ended. Ctrl-C ends the watching, not the
 * job. Returns what to end with: 0 only when the job is done. */
int job_watch(struct session *session, long long id);

#endif
