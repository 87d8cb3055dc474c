/* The table of jobs and the row that tells when a scheduler was last there, a statement for each
 * function. All statements that look for work use the partial index of unfinished jobs. */
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/job_sql.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEDULER_SEEN "EXISTS (SELECT FROM scheduler_seen WHERE at > now() - interval '5 s')"
_Static_assert(JOBS_SCHEDULER_GONE_MS == 5000, "the interval");

/* Of kind $1. Jobs are begun in the order of their ids, so the last one begun is the one of the
 * highest id. One that was begun in the future was so before the clock was set back. */
#define CLAIMABLE                                                                                  \
    "finished IS NULL AND kind = $1 AND (token IS NULL OR lease < now()) AND NOT EXISTS"           \
    " (SELECT FROM (SELECT started FROM jobs WHERE kind = $1 AND started IS NOT NULL"              \
    " ORDER BY id DESC LIMIT 1) AS last WHERE started BETWEEN now() - interval '1 s'"              \
    " AND now() + interval '1 s')"
_Static_assert(JOBS_SPACING_MS == 1000, "the interval");

enum { COLUMN_SEEN, COLUMN_ID, COLUMN_STATE }; /* of jobs_look() */

/* Send `sql` with the first `count` of these parameters. */
static int send(struct database *database, const char *sql, int count, const char *kind,
                int64_t number, const char *error, database_done_fn *on_done, void *arg)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    const char *const values[] = {kind, text, error};
    const struct database_parameters parameters = {.count = count, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int jobs_request(struct database *database, const char *kind, database_done_fn *on_done, void *arg)
{
    /* The lock on the waiting job makes a claim wait until this statement is over. A job that was
     * claimed just before does not wait any more, and a new one is added. */
    static const char sql[] =
        "WITH waiting AS (SELECT id FROM jobs WHERE finished IS NULL AND kind = $1"
        " AND token IS NULL AND " SCHEDULER_SEEN " ORDER BY id LIMIT 1 FOR UPDATE),"
        " added AS (INSERT INTO jobs (kind) SELECT $1 WHERE " SCHEDULER_SEEN
        " AND NOT EXISTS (SELECT FROM waiting) RETURNING id)"
        " SELECT id FROM waiting UNION ALL SELECT id FROM added";
    return send(database, sql, 1, kind, 0, NULL, on_done, arg);
}

int jobs_look(struct database *database, const char *kind, int64_t first_id,
              database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT " SCHEDULER_SEEN ", id, state"
        " FROM (VALUES (1)) AS one LEFT JOIN jobs ON kind = $1 AND id >= $2::bigint";
    return send(database, sql, 2, kind, first_id, NULL, on_done, arg);
}

bool jobs_scheduler_seen(const struct database_answer *look)
{
    return PQgetvalue(look->result, 0, COLUMN_SEEN)[0] == 't';
}

enum job_state jobs_state(const struct database_answer *look, int64_t id)
{
    for (int i = 0; i < PQntuples(look->result); i++) {
        if (strtoll(PQgetvalue(look->result, i, COLUMN_ID), NULL, 10) != id)
            continue;
        const char *state = PQgetvalue(look->result, i, COLUMN_STATE);
        return strcmp(state, "done") == 0     ? JOB_DONE
               : strcmp(state, "failed") == 0 ? JOB_FAILED
                                              : JOB_UNFINISHED;
    }
    return JOB_UNFINISHED;
}

int64_t jobs_new_token(void)
{
    int64_t token;
    arc4random_buf(&token, sizeof token);
    return token;
}

int jobs_beat(struct database *database, const int64_t *tokens, size_t count,
              database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH beat AS (INSERT INTO scheduler_seen (at) SELECT clock_timestamp()"
        " FROM set_config('synchronous_commit', 'off', true)"
        " ON CONFLICT (only_row) DO UPDATE SET at = excluded.at)"
        " UPDATE jobs SET lease = " JOB_LEASE
        " WHERE finished IS NULL AND token = ANY ($1::bigint[])";
    char text[JOBS_TOKENS_MAX * 22 + 3];
    assert(count <= JOBS_TOKENS_MAX);
    job_numbers_text(tokens, count, text);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int jobs_claimable(struct database *database, const char *kind, database_done_fn *on_done,
                   void *arg)
{
    static const char sql[] = "SELECT count(*) FROM jobs WHERE " CLAIMABLE;
    return send(database, sql, 1, kind, 0, NULL, on_done, arg);
}

int jobs_claim(struct database *database, const char *kind, int64_t token,
               database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH claimed AS (UPDATE jobs SET state = 'running', started = clock_timestamp(),"
        " lease = " JOB_LEASE ", token = $2::bigint WHERE " CLAIMABLE " RETURNING id)"
        " SELECT count(*) FROM claimed";
    return send(database, sql, 2, kind, token, NULL, on_done, arg);
}

int jobs_finish(struct database *database, const char *kind, int64_t token, const char *error,
                database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH old AS (DELETE FROM jobs WHERE " JOBS_OLD ")"
        " UPDATE jobs SET state = CASE WHEN $3::text IS NULL THEN 'done' ELSE 'failed' END,"
        " error = $3, finished = clock_timestamp(), lease = NULL"
        " WHERE finished IS NULL AND kind = $1 AND token = $2::bigint";
    return send(database, sql, 3, kind, token, error, on_done, arg);
}
