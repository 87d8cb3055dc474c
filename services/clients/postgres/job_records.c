/* Results are binary, so that instants come as they are. A jsonb comes as text, by a cast. */
#include "services/clients/postgres/job_records.h"
#include "services/base/memory.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/row_value.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define JOB_COLUMNS                                                                                \
    "id, kind, state, parameters::text, result::text, requested_by, error, requested, started,"    \
    " finished, done, total, cancel, automatic"

enum job_column {
    ID,
    KIND,
    STATE,
    PARAMETERS,
    RESULT,
    REQUESTED_BY,
    ERROR,
    REQUESTED,
    STARTED,
    FINISHED,
    DONE,
    TOTAL,
    CANCEL,
    AUTOMATIC,
    CHANGED /* job_records_begin() and job_records_cancel() alone */
};

/* job_begun_fn and job_canceled_fn. */
typedef void job_changed_fn(void *arg, const struct job_record *job, bool changed,
                            const struct database_answer *answer);

struct read {
    union {
        jobs_listed_fn *listed;
        job_changed_fn *changed;
    } on_done;
    void *arg;
};

static struct read *read_new(void *arg)
{
    struct read *read = memory_new(sizeof *read);
    read->arg = arg;
    return read;
}

static struct job_record job_at(const PGresult *result, int row)
{
    struct job_record job = {
        .id = row_number(result, row, ID),
        .kind = row_text(result, row, KIND),
        .state = row_text(result, row, STATE),
        .parameters = row_text(result, row, PARAMETERS),
        .result = row_text(result, row, RESULT),
        .requested_by = row_text(result, row, REQUESTED_BY),
        .error = row_text(result, row, ERROR),
        .done = row_number(result, row, DONE),
        .has_total = !PQgetisnull(result, row, TOTAL),
        .total = row_number(result, row, TOTAL),
        .cancel_requested = PQgetvalue(result, row, CANCEL)[0] != 0,
        .automatic = PQgetvalue(result, row, AUTOMATIC)[0] != 0,
    };
    (void)row_time(result, row, REQUESTED, &job.requested_at_us); /* NOT NULL */
    job.was_started = row_time(result, row, STARTED, &job.started_at_us);
    job.was_finished = row_time(result, row, FINISHED, &job.finished_at_us);
    return job;
}

static void on_listed(void *arg, const struct database_answer *answer)
{
    struct read read = *(struct read *)arg;
    free(arg);
    size_t count = answer->status == DATABASE_OK ? (size_t)PQntuples(answer->result) : 0;
    struct job_record *jobs = memory_new_array(count + 1, sizeof *jobs);
    for (size_t i = 0; i < count; i++)
        jobs[i] = job_at(answer->result, (int)i);
    read.on_done.listed(read.arg, jobs, count, answer);
    free(jobs);
}

/* `sql` has the first `count` of these parameters. */
static int list(struct database *database, const char *sql, int count, int64_t id, unsigned limit,
                jobs_listed_fn *on_done, void *arg)
{
    char id_text[24], limit_text[12];
    snprintf(id_text, sizeof id_text, "%" PRId64, id);
    snprintf(limit_text, sizeof limit_text, "%u", limit);
    const char *const values[] = {id_text, limit_text};
    const struct database_parameters parameters = {.count = count, .values = values};
    struct read *read = read_new(arg);
    read->on_done.listed = on_done;
    if (database_call(database, sql, &parameters, true, on_listed, free, read) == 0)
        return 0;
    free(read);
    return -1;
}

int job_records_list(struct database *database, int64_t before_id, unsigned limit,
                     jobs_listed_fn *on_done, void *arg)
{
    static const char sql[] = "SELECT " JOB_COLUMNS " FROM jobs WHERE id < $1::bigint"
                              " ORDER BY id DESC LIMIT $2::integer";
    return list(database, sql, 2, before_id, limit, on_done, arg);
}

int job_records_overview(struct database *database, jobs_listed_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT " JOB_COLUMNS " FROM jobs WHERE id IN"
        " ((SELECT id FROM jobs ORDER BY id DESC LIMIT 5) UNION ALL"
        " (SELECT id FROM jobs WHERE finished IS NULL AND kind <> '" JOB_KIND_REFRESH
        "' ORDER BY id LIMIT 10)) ORDER BY id DESC";
    _Static_assert(JOB_RECORDS_NEWEST == 5 && JOB_RECORDS_UNFINISHED == 10, "the LIMITs");
    return list(database, sql, 0, 0, 0, on_done, arg);
}

int job_records_find(struct database *database, int64_t id, jobs_listed_fn *on_done, void *arg)
{
    static const char sql[] = "SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1::bigint";
    return list(database, sql, 1, id, 0, on_done, arg);
}

static void on_changed(void *arg, const struct database_answer *answer)
{
    struct read read = *(struct read *)arg;
    free(arg);
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0) {
        read.on_done.changed(read.arg, NULL, false, answer);
        return;
    }
    struct job_record job = job_at(answer->result, 0);
    bool changed = PQgetvalue(answer->result, 0, CHANGED)[0] != 0;
    read.on_done.changed(read.arg, &job, changed, answer);
}

static int change(struct database *database, const char *sql,
                  const struct database_parameters *parameters, job_changed_fn *on_done, void *arg)
{
    struct read *read = read_new(arg);
    read->on_done.changed = on_done;
    if (database_call(database, sql, parameters, true, on_changed, free, read) == 0)
        return 0;
    free(read);
    return -1;
}

int job_records_begin(struct database *database, const struct index_job_request *request,
                      job_begun_fn *on_done, void *arg)
{
    /* A conflict is with a job that was begun after this statement: then nothing is answered. */
    static const char sql[] =
        "WITH first AS (SELECT * FROM jobs WHERE finished IS NULL AND kind IN (" JOB_KINDS_INDEX
        ") ORDER BY state <> 'running', id LIMIT 1),"
        " added AS (INSERT INTO jobs (kind, parameters, requested_by) SELECT $1, $2::jsonb, $3"
        " WHERE NOT EXISTS (SELECT FROM first) ON CONFLICT DO NOTHING RETURNING *)"
        " SELECT " JOB_COLUMNS ", true FROM added"
        " UNION ALL SELECT " JOB_COLUMNS ", false FROM first";
    const char *const values[] = {request->kind, request->parameters, request->by};
    const struct database_parameters parameters = {.count = 3, .values = values};
    return change(database, sql, &parameters, on_done, arg);
}

int job_records_cancel(struct database *database, int64_t id, job_canceled_fn *on_done, void *arg)
{
    /* A claim that comes meanwhile waits for the row, and then finds it finished; or it was first,
     * and then the job runs. A job that was begun, and let go by a scheduler that stopped, ends
     * when the next one has cleaned up. Those who wait for a refresh share it, so nobody cancels
     * it. */
    static const char sql[] =
        "WITH canceled AS (UPDATE jobs SET cancel = true,"
        " state = CASE WHEN started IS NULL THEN 'canceled' ELSE state END,"
        " finished = CASE WHEN started IS NULL THEN clock_timestamp() END"
        " WHERE id = $1::bigint AND finished IS NULL AND kind <> '" JOB_KIND_REFRESH
        "' RETURNING *)"
        " SELECT " JOB_COLUMNS ", true FROM canceled"
        " UNION ALL SELECT " JOB_COLUMNS ", false FROM jobs"
        " WHERE id = $1::bigint AND NOT EXISTS (SELECT FROM canceled)";
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, id);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return change(database, sql, &parameters, on_done, arg);
}
