/* The set is what the filter finds in the statement's snapshot. A letter that somebody else settles
 * meanwhile is skipped by the job. */
#include "services/clients/postgres/letter_jobs_request.h"
#include "services/base/memory.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/letter_filter.h"
#include "services/clients/postgres/letter_jobs.h"
#include <stdlib.h>

struct ask {
    letter_job_requested_fn *on_done;
    void *arg;
};

static void on_requested(void *arg, const struct database_answer *answer)
{
    struct ask ask = *(struct ask *)arg;
    free(arg);
    int64_t job = 0, total = 0;
    if (answer->status == DATABASE_OK && PQntuples(answer->result) == 1) {
        job = strtoll(PQgetvalue(answer->result, 0, 0), NULL, 10);
        total = strtoll(PQgetvalue(answer->result, 0, 1), NULL, 10);
    }
    ask.on_done(ask.arg, job, total, answer);
}

int letter_job_request(struct database *database, const struct letter_job_request *request,
                       letter_job_requested_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH chosen AS MATERIALIZED (SELECT id FROM dead_letters WHERE " LETTER_FILTER "),"
        " job AS (INSERT INTO jobs (kind, parameters, requested_by, total)"
        " SELECT $8, $9::jsonb, $10, (SELECT count(*) FROM chosen)"
        " WHERE $8 <> '" JOB_KIND_REPLAY
        "' OR NOT EXISTS (SELECT FROM scheduler_seen WHERE archive = 'off')"
        " RETURNING id, total),"
        " items AS (INSERT INTO job_items (job, item) SELECT job.id, chosen.id FROM job, chosen)"
        " SELECT id, total FROM job";
    static const char *const kinds[] = {
        [LETTER_JOB_REPLAY] = JOB_KIND_REPLAY, [LETTER_JOB_DISCARD] = JOB_KIND_DISCARD};
    struct letter_filter filter = request->filter;
    struct letter_filter_texts texts;
    const char *values[LETTER_FILTER_PARAMETERS + 3];
    filter.state = LETTER_STATE_DEAD;
    letter_filter_values(&filter, &texts, values);
    values[LETTER_FILTER_PARAMETERS] = kinds[request->kind];
    values[LETTER_FILTER_PARAMETERS + 1] = request->parameters;
    values[LETTER_FILTER_PARAMETERS + 2] = request->by;
    const struct database_parameters parameters = {.count = LETTER_FILTER_PARAMETERS + 3,
                                                   .values = values};
    struct ask *ask = memory_new(sizeof *ask);
    *ask = (struct ask){on_done, arg};
    if (database_call(database, sql, &parameters, false, on_requested, free, ask) == 0)
        return 0;
    free(ask);
    return -1;
}
