/* A statement for each function. Where jobs change too, their rows are locked first, as the jobs'
 * own statements do (search_index.c). */
#include "services/clients/postgres/search_index_watch.h"
#include "services/clients/postgres/jobs.h"
#include <inttypes.h>
#include <stdio.h>

#define INDEX_KINDS "('reindex', 'verify', 'repair')"

/* The row is still as it was read: identity $1 and building $2. */
#define AS_READ "identity IS NOT DISTINCT FROM $1::text AND building IS NOT DISTINCT FROM $2::text"

/* Ask for a job, once for each row of `from`, which has the kind and the parameters. */
#define ASK_FOR(from)                                                                              \
    "INSERT INTO jobs (kind, parameters, requested_by, automatic)"                                 \
    " SELECT kind, parameters, 'scheduler', true FROM " from

/* `repair`: a boolean parameter. */
#define VERIFY_PARAMETERS(full, repair)                                                            \
    "jsonb_build_object('full', " full ") || CASE WHEN " repair                                    \
    "::boolean THEN '{\"repair\":\"within_limits\"}' ELSE '{}' END::jsonb"

static const char *recorded(const struct search_index *read)
{
    return read->recorded ? read->identity : NULL;
}

static const char *building(const struct search_index *read)
{
    return read->building[0] != '\0' ? read->building : NULL;
}

int search_index_changed(struct database *database, const struct search_index *read,
                         const char *identity, int64_t documents, bool repair, const char *fault,
                         database_done_fn *on_done, void *arg)
{
    /* Orders are counted as far as 10,000; then the statistics are near. Of a first index that is
     * empty only orders can be missing that are not on their way to it. A reindex that was begun
     * looks after its index until it ends. */
    static const char sql[] =
        "WITH locked AS MATERIALIZED (SELECT id FROM jobs WHERE finished IS NULL"
        " AND kind IN ('verify', 'repair') ORDER BY id FOR UPDATE),"
        " few AS (SELECT count(*) AS n, bool_or(created_at < now() - interval '60 s') AS old"
        " FROM (SELECT created_at FROM orders LIMIT 10000) AS first),"
        " orders_now AS (SELECT n > 0 AND ($1::text IS NOT NULL OR $4::bigint = 0 AND old)"
        " AS lacking, CASE WHEN n < 10000 THEN n ELSE greatest(n, (SELECT"
        " CASE WHEN reltuples >= 0 THEN reltuples::bigint ELSE pg_stat_get_live_tuples(oid) END"
        " FROM pg_class WHERE oid = to_regclass('orders'))) END AS n FROM few),"
        " changed AS (UPDATE search_index SET identity = $3::text, documents = $4::bigint,"
        " seen_at = clock_timestamp(), building = NULL,"
        " missing = CASE WHEN lacking THEN greatest(0, 1 - $4::float8 / n) ELSE missing END,"
        " fault = CASE WHEN lacking THEN $6::text ELSE fault END"
        " FROM orders_now WHERE " AS_READ " AND (SELECT count(*) FROM locked) >= 0"
        " AND NOT (building IS NOT DISTINCT FROM $3::text AND EXISTS (SELECT FROM jobs"
        " WHERE kind = 'reindex' AND finished IS NULL AND started IS NOT NULL))"
        " RETURNING lacking AS incomplete),"
        " canceled AS (UPDATE jobs SET cancel = true,"
        " state = CASE WHEN token IS NULL THEN 'canceled' ELSE state END,"
        " finished = CASE WHEN token IS NULL THEN clock_timestamp() END"
        " FROM locked, changed WHERE jobs.id = locked.id AND incomplete),"
        " refill AS (SELECT 'repair' AS kind, '{\"refill\":true}'::jsonb AS parameters FROM changed"
        " WHERE incomplete AND $5::boolean AND $3::text <> ''),"
        " asked AS (" ASK_FOR("refill") ")"
                                        " SELECT count(*) FROM changed WHERE incomplete";
    _Static_assert(sizeof SEARCH_INDEX_GONE == 1, "$3::text <> ''");
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, documents);
    const char *const values[] = {
        recorded(read), building(read), identity, text, repair ? "true" : "false", fault};
    const struct database_parameters parameters = {.count = 6, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int search_index_counted(struct database *database, const struct search_index *read,
                         int64_t documents, bool repair, database_done_fn *on_done, void *arg)
{
    /* A repair that deletes is the reason itself, also when its last documents were not counted
     * before it ended. */
    static const char sql[] =
        "WITH before AS (SELECT documents FROM search_index WHERE " AS_READ " FOR UPDATE),"
        " changed AS (UPDATE search_index AS i SET documents = $3::bigint,"
        " seen_at = clock_timestamp() FROM before"
        " RETURNING coalesce($3::bigint < before.documents, false) AS fewer),"
        " verify AS (SELECT 'verify' AS kind, " VERIFY_PARAMETERS(
            "true",
            "$4") " AS parameters FROM changed WHERE fewer AND NOT EXISTS (SELECT FROM jobs"
                  " WHERE kind = 'verify' AND automatic AND finished IS NULL AND token IS NULL"
                  " AND parameters @> '{\"full\":true}')"
                  " AND NOT EXISTS (SELECT FROM jobs WHERE kind = 'repair'"
                  " AND parameters @> '{\"delete_extra\":true}' AND started IS NOT NULL"
                  " AND (finished IS NULL OR finished > now() - interval '30 s'))),"
                  " asked AS (" ASK_FOR("verify") " RETURNING id)"
                                                  " SELECT count(*) FROM asked";
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, documents);
    const char *const values[] = {recorded(read), building(read), text, repair ? "true" : "false"};
    const struct database_parameters parameters = {.count = 4, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int search_index_refill(struct database *database, const struct search_index *read,
                        database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH index_now AS (SELECT FROM search_index WHERE " AS_READ
        " AND missing IS NOT NULL AND fault IS NULL FOR UPDATE),"
        " last AS (SELECT state, finished FROM jobs, index_now WHERE kind = 'repair'"
        " AND parameters @> '{\"refill\":true}' ORDER BY id DESC LIMIT 1),"
        " refill AS (SELECT 'repair' AS kind, '{\"refill\":true}'::jsonb AS parameters FROM last"
        " WHERE state = 'failed' AND finished < now() - interval '60 s' AND NOT EXISTS"
        " (SELECT FROM jobs WHERE kind IN " INDEX_KINDS " AND finished IS NULL)),"
        " asked AS (" ASK_FOR("refill") " RETURNING id)"
                                        " SELECT count(*) FROM asked";
    const char *const values[] = {recorded(read), building(read)};
    const struct database_parameters parameters = {.count = 2, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

/* A tick far ahead was recorded while a clock was wrong. */
#define TICK_IS_NEW(column)                                                                        \
    "(" column " IS NULL OR " column " < tick OR " column " > now() + interval '1 day')"

#define VERIFY_SQL(column, full, the_same)                                                         \
    "WITH due AS (UPDATE search_index SET " column " = tick FROM"                                  \
    " (SELECT timestamptz 'epoch' + $1::bigint * interval '1 microsecond' AS tick) AS this"        \
    " WHERE " TICK_IS_NEW(                                                                         \
        column) " RETURNING 1),"                                                                   \
                " verify AS (SELECT 'verify' AS kind, " VERIFY_PARAMETERS(                         \
                    full,                                                                          \
                    "$2") " AS parameters"                                                         \
                          " FROM due WHERE EXISTS (SELECT FROM orders) AND NOT EXISTS (SELECT "    \
                          "FROM jobs"                                                              \
                          " WHERE finished IS NULL AND automatic AND kind = 'verify'" the_same     \
                          ")),"                                                                    \
                          " asked AS (" ASK_FOR("verify") " RETURNING id)"                         \
                                                          " SELECT count(*) FROM asked"

int search_index_verify(struct database *database, bool full, int64_t tick_us, bool repair,
                        database_done_fn *on_done, void *arg)
{
    static const char of_all[] =
        VERIFY_SQL("verify_full_tick", "true", " AND parameters @> '{\"full\":true}'");
    static const char of_recent[] = VERIFY_SQL("verify_tick", "false", "");
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, tick_us);
    const char *const values[] = {text, repair ? "true" : "false"};
    const struct database_parameters parameters = {.count = 2, .values = values};
    return database_send(database, full ? of_all : of_recent, &parameters, false, on_done, arg);
}
