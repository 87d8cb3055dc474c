/* What the jobs that rebuild the index have noted. */
#ifndef CLIENTS_POSTGRES_REINDEX_JOBS_H
#define CLIENTS_POSTGRES_REINDEX_JOBS_H

#include "services/clients/postgres/long_jobs.h"

/* Ask for the last name, by its digits, of the indices that other reindexes than this one have
 * noted in their results. Returns 0 or -1 as database_send(). */
int reindex_jobs_last(struct database *database, const struct long_job *job,
                      database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The name that the answer to it (which is DATABASE_OK) tells; empty when there is none. */
void reindex_jobs_name(const struct database_answer *answer, char *ret_name, size_t size);

#endif
