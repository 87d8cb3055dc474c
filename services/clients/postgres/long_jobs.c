/* The jobs that take long, a statement for each function. */
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/job_sql.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN_ID, COLUMN_KIND, COLUMN_PARAMETERS, COLUMN_CHECKPOINT, COLUMN_CANCEL, COLUMN_BY };

void job_numbers_text(const int64_t *numbers, size_t count, char *text)
{
    *text++ = '{';
    for (size_t i = 0; i < count; i++)
        text += sprintf(text, "%s%" PRId64, i > 0 ? "," : "", numbers[i]);
    memcpy(text, "}", 2);
}

int job_send(struct database *database, const char *sql, const struct long_job *job,
             const char *const *more, int more_count, bool binary_result, database_done_fn *on_done,
             void *arg)
{
    char id[24], token[24];
    const char *values[2 + JOB_MORE_VALUES_MAX] = {id, token};
    snprintf(id, sizeof id, "%" PRId64, job->id);
    snprintf(token, sizeof token, "%" PRId64, job->token);
    assert(more_count <= JOB_MORE_VALUES_MAX);
    for (int i = 0; i < more_count; i++)
        values[2 + i] = more[i];
    const struct database_parameters parameters = {.count = 2 + more_count, .values = values};
    return database_send(database, sql, &parameters, binary_result, on_done, arg);
}

int long_jobs_claim(struct database *database, const char *const *kinds, size_t count,
                    int64_t token, database_done_fn *on_done, void *arg)
{
    /* A job that another scheduler is about to claim is passed over. */
    static const char sql[] =
        "WITH next AS (SELECT id FROM jobs AS job"
        " WHERE finished IS NULL AND kind = ANY ($1::text[]) AND (token IS NULL OR lease < now())"
        " AND (kind NOT IN (" JOB_KINDS_INDEX ") OR NOT EXISTS (SELECT FROM jobs AS other"
        " WHERE other.state = 'running' AND other.finished IS NULL AND other.id <> job.id"
        " AND other.kind IN (" JOB_KINDS_INDEX ")))"
        " ORDER BY started IS NULL, id LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " UPDATE jobs SET state = 'running', started = coalesce(started, clock_timestamp()),"
        " lease = " JOB_LEASE ", token = $2::bigint FROM next WHERE jobs.id = next.id"
        " RETURNING jobs.id, kind, coalesce(parameters, '{}'), checkpoint, cancel,"
        " coalesce(requested_by, 'unknown')";
    char names[LONG_JOB_KINDS_MAX * 33 + 3] = "{", text[24];
    size_t len = 1;
    assert(count <= LONG_JOB_KINDS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(strlen(kinds[i]) <= 32);
        len += (size_t)sprintf(names + len, "%s%s", i > 0 ? "," : "", kinds[i]);
    }
    memcpy(names + len, "}", 2);
    snprintf(text, sizeof text, "%" PRId64, token);
    const char *const values[] = {names, text};
    const struct database_parameters parameters = {.count = 2, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

bool long_jobs_claim_lost(const struct database_answer *answer)
{
    return answer_has_sqlstate(answer, "23505"); /* of jobs_index_running_idx */
}

struct long_job *long_jobs_claimed(const struct database_answer *answer, int64_t token)
{
    const PGresult *result = answer->result;
    if (PQntuples(result) == 0)
        return NULL;
    struct long_job *job = memory_new(sizeof *job);
    *job = (struct long_job){
        .id = strtoll(PQgetvalue(result, 0, COLUMN_ID), NULL, 10),
        .token = token,
        .kind = memory_copy_text(PQgetvalue(result, 0, COLUMN_KIND)),
        .requested_by = memory_copy_text(PQgetvalue(result, 0, COLUMN_BY)),
        .parameters = memory_copy_text(PQgetvalue(result, 0, COLUMN_PARAMETERS)),
        .checkpoint = PQgetisnull(result, 0, COLUMN_CHECKPOINT)
                          ? NULL
                          : memory_copy_text(PQgetvalue(result, 0, COLUMN_CHECKPOINT)),
        .cancel = PQgetvalue(result, 0, COLUMN_CANCEL)[0] == 't',
    };
    return job;
}

void long_job_free(struct long_job *job)
{
    if (job == NULL)
        return;
    free(job->kind);
    free(job->requested_by);
    free(job->parameters);
    free(job->checkpoint);
    free(job);
}

enum long_job_hold long_job_hold(const struct database_answer *answer)
{
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0)
        return LONG_JOB_LOST;
    /* 't', or a binary true */
    char cancel = PQgetvalue(answer->result, 0, 0)[0];
    return cancel == 't' || cancel == 1 ? LONG_JOB_CANCELED : LONG_JOB_HELD;
}

int long_jobs_watch(struct database *database, const struct long_job *job,
                    database_done_fn *on_done, void *arg)
{
    static const char sql[] = "SELECT cancel FROM jobs WHERE id = $1::bigint"
                              " AND token = $2::bigint AND finished IS NULL AND lease > now()";
    return job_send(database, sql, job, NULL, 0, false, on_done, arg);
}

int long_jobs_progress(struct database *database, const struct long_job *job,
                       const struct long_job_progress *progress, database_done_fn *on_done,
                       void *arg)
{
    static const char sql[] =
        JOB_HELD ", changed AS (UPDATE jobs SET done = $3::bigint,"
                 " total = CASE WHEN $4::bigint < 0 THEN total ELSE $4::bigint END,"
                 " checkpoint = coalesce($5, checkpoint), result = coalesce($6::jsonb, result)"
                 " FROM held WHERE jobs.id = held.id)" JOB_HOLD;
    char done[24], total[24];
    snprintf(done, sizeof done, "%" PRId64, progress->done);
    snprintf(total, sizeof total, "%" PRId64, progress->total);
    const char *const more[] = {done, total, progress->checkpoint, progress->result};
    return job_send(database, sql, job, more, 4, false, on_done, arg);
}

int long_jobs_finish(struct database *database, const struct long_job *job, bool canceled,
                     const char *error, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH old AS (DELETE FROM jobs WHERE " JOBS_OLD " RETURNING id),"
        " old_items AS (DELETE FROM job_items USING old WHERE job = old.id)"
        " UPDATE jobs SET state = $4, error = $5, finished = clock_timestamp(), lease = NULL"
        " WHERE id = $2::bigint AND token = $3::bigint AND finished IS NULL AND lease > now()"
        " RETURNING cancel, extract(epoch FROM finished - started)";
    char id[24], token[24];
    snprintf(id, sizeof id, "%" PRId64, job->id);
    snprintf(token, sizeof token, "%" PRId64, job->token);
    const char *state = canceled ? "canceled" : error != NULL ? "failed" : "done";
    const char *const values[] = {job->kind, id, token, state, error};
    const struct database_parameters parameters = {.count = 5, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

double long_jobs_seconds(const struct database_answer *answer)
{
    return strtod(PQgetvalue(answer->result, 0, 1), NULL);
}

int long_jobs_let_go(struct database *database, const struct long_job *job,
                     database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "UPDATE jobs SET state = 'waiting', token = NULL, lease = NULL WHERE id = $1::bigint"
        " AND token = $2::bigint AND finished IS NULL RETURNING cancel";
    return job_send(database, sql, job, NULL, 0, false, on_done, arg);
}

int long_jobs_sweep(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH batch AS (SELECT job, item FROM jobs JOIN job_items ON job = id"
        " WHERE finished IS NOT NULL LIMIT 10000),"
        " gone AS (DELETE FROM job_items AS i USING batch WHERE i.job = batch.job"
        " AND i.item = batch.item RETURNING 1) SELECT count(*) FROM gone";
    _Static_assert(LONG_JOBS_SWEEP == 10000, "the LIMIT");
    return database_send(database, sql, NULL, false, on_done, arg);
}
