/* The names end in six digits. */
#include "services/clients/postgres/reindex_jobs.h"
#include "services/clients/postgres/jobs.h"
#include <inttypes.h>
#include <stdio.h>

int reindex_jobs_last(struct database *database, const struct long_job *job,
                      database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT result->>'index' FROM jobs WHERE kind = '" JOB_KIND_REINDEX "'"
        " AND id <> $1::bigint AND result->>'index' IS NOT NULL"
        " ORDER BY right(result->>'index', 6) DESC LIMIT 1";
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, job->id);
    const char *const values[] = {id};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

void reindex_jobs_name(const struct database_answer *answer, char *ret_name, size_t size)
{
    snprintf(ret_name, size, "%s",
             PQntuples(answer->result) > 0 ? PQgetvalue(answer->result, 0, 0) : "");
}
