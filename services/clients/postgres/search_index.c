/* A statement for each function. A job's row is locked before the row about the index, here as in
 * search_index_watch.c, so that no two statements wait for each other. */
#include "services/clients/postgres/search_index.h"
#include "services/clients/postgres/job_sql.h"
#include "services/clients/postgres/row_value.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DEPLOYMENT,
    IDENTITY,
    BUILDING,
    DOCUMENTS,
    MISSING,
    FAULT,
    VERIFIED_AT,
    VERIFIED_FULL_AT,
    VERIFIED_MISSING,
    VERIFIED_EXTRA,
    VERIFIED_DIFFERENT,
};

int search_index_read(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT deployment::text, identity, building, documents, missing::text, fault, verified_at,"
        " verified_full_at, verified_missing, verified_extra, verified_different FROM search_index";
    return database_send(database, sql, NULL, true, on_done, arg);
}

static void copy_text(char *to, size_t size, const PGresult *row, int column)
{
    const char *text = row_text(row, 0, column);
    snprintf(to, size, "%s", text == NULL ? "" : text);
}

static int64_t number_or_none(const PGresult *row, int column)
{
    return PQgetisnull(row, 0, column) ? -1 : row_number(row, 0, column);
}

int search_index_row(const struct database_answer *answer, struct search_index *ret_index)
{
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0)
        return -1;
    const PGresult *row = answer->result;
    *ret_index = (struct search_index){
        .recorded = !PQgetisnull(row, 0, IDENTITY),
        .documents = number_or_none(row, DOCUMENTS),
        .incomplete = !PQgetisnull(row, 0, MISSING),
        .verified_missing = number_or_none(row, VERIFIED_MISSING),
        .verified_extra = number_or_none(row, VERIFIED_EXTRA),
        .verified_different = number_or_none(row, VERIFIED_DIFFERENT),
    };
    copy_text(ret_index->deployment, sizeof ret_index->deployment, row, DEPLOYMENT);
    copy_text(ret_index->identity, sizeof ret_index->identity, row, IDENTITY);
    copy_text(ret_index->building, sizeof ret_index->building, row, BUILDING);
    copy_text(ret_index->fault, sizeof ret_index->fault, row, FAULT);
    if (ret_index->incomplete)
        ret_index->missing = strtod(row_text(row, 0, MISSING), NULL);
    (void)row_time(row, 0, VERIFIED_AT, &ret_index->verified_at_us); /* NULL leaves 0 */
    (void)row_time(row, 0, VERIFIED_FULL_AT, &ret_index->verified_full_at_us);
    return 0;
}

bool search_index_wrong(const struct search_index *index, struct error *ret_reason)
{
    if (index->fault[0] != '\0')
        error_set(ret_reason, "%s", index->fault);
    else if (index->incomplete)
        error_set(ret_reason, "search lacks about %.2f %% of the orders", index->missing * 100);
    return index->fault[0] != '\0' || index->incomplete;
}

/* ---- what a job writes ---- */

static const char *share_text(double share, char text[32])
{
    snprintf(text, 32, "%.9f", share > 1 ? 1 : share);
    return share < 0 ? NULL : text;
}

int search_index_building(struct database *database, const struct long_job *job,
                          const char *identity, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        JOB_HELD ", changed AS (UPDATE search_index SET building = $3 FROM held)" JOB_HOLD;
    return job_send(database, sql, job, &identity, 1, false, on_done, arg);
}

int search_index_swapped(struct database *database, const struct long_job *job,
                         const char *identity, int64_t documents, database_done_fn *on_done,
                         void *arg)
{
    static const char sql[] =
        JOB_HELD ", changed AS (UPDATE search_index SET identity = $3, documents = $4::bigint,"
                 " seen_at = clock_timestamp(), building = NULL FROM held)" JOB_HOLD;
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, documents);
    const char *const more[] = {identity, documents < 0 ? NULL : text};
    return job_send(database, sql, job, more, 2, false, on_done, arg);
}

int search_index_missing(struct database *database, const struct long_job *job, double share,
                         database_done_fn *on_done, void *arg)
{
    static const char sql[] = JOB_HELD ", changed AS (UPDATE search_index SET missing = $3::float8,"
                                       " fault = CASE WHEN $3::float8 IS NOT NULL THEN fault END "
                                       "FROM held WHERE NOT cancel)" JOB_HOLD;
    char text[32];
    const char *more = share_text(share, text);
    return job_send(database, sql, job, &more, 1, false, on_done, arg);
}

int search_index_rebuilt(struct database *database, const struct long_job *job,
                         const char *identity, database_done_fn *on_done, void *arg)
{
    static const char sql[] = JOB_HELD
        ", canceled AS (UPDATE jobs SET cancel = true, state = 'canceled',"
        " finished = clock_timestamp() FROM held WHERE jobs.finished IS NULL AND token IS NULL"
        " AND automatic AND kind = 'repair' AND jobs.parameters ? 'refill'"
        " AND EXISTS (SELECT FROM search_index WHERE identity = $3)),"
        " changed AS (UPDATE search_index SET missing = NULL, fault = NULL FROM held"
        " WHERE identity = $3)" JOB_HOLD;
    return job_send(database, sql, job, &identity, 1, false, on_done, arg);
}

int search_index_verified(struct database *database, const struct long_job *job,
                          const struct search_index_verified *verified, database_done_fn *on_done,
                          void *arg)
{
    static const char sql[] =
        JOB_HELD ", instant AS MATERIALIZED (SELECT clock_timestamp() AS now),"
                 " changed AS (UPDATE search_index SET verified_at = instant.now,"
                 " verified_full_at = CASE WHEN $3::boolean THEN instant.now"
                 " ELSE verified_full_at END,"
                 " verified_missing = $4::bigint, verified_extra = $5::bigint,"
                 " verified_different = $6::bigint,"
                 " missing = CASE WHEN $3::boolean THEN $7::float8 ELSE missing END,"
                 " fault = CASE WHEN $3::boolean THEN $8 ELSE coalesce($8, fault) END"
                 " FROM held, instant WHERE NOT cancel)" JOB_HOLD;
    char missing[24], extra[24], different[24], share[32];
    snprintf(missing, sizeof missing, "%" PRId64, verified->missing);
    snprintf(extra, sizeof extra, "%" PRId64, verified->extra);
    snprintf(different, sizeof different, "%" PRId64, verified->different);
    const char *const more[] = {
        verified->full ? "true" : "false",          missing,        extra, different,
        share_text(verified->missing_share, share), verified->fault};
    return job_send(database, sql, job, more, 6, false, on_done, arg);
}

int search_index_fault(struct database *database, const struct long_job *job, const char *fault,
                       database_done_fn *on_done, void *arg)
{
    static const char sql[] = JOB_HELD ", changed AS (UPDATE search_index SET fault = $3 FROM held"
                                       " WHERE NOT cancel)" JOB_HOLD;
    return job_send(database, sql, job, &fault, 1, false, on_done, arg);
}
