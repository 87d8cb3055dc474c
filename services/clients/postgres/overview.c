/* Statements that read by an index, or a few rows. The server writes the JSON. */
#include "services/clients/postgres/overview.h"
#include "services/clients/postgres/jobs.h"

/* "to_char(" COLUMN AS_TEXT: an instant as RFC 3339 has it, in UTC; or null. */
#define AS_TEXT " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* reltuples is -1 until the table was analyzed; then the statistics of what was written are near.
 */
static const char rows[] = "SELECT to_json((SELECT CASE WHEN reltuples >= 0 THEN reltuples::bigint"
                           " ELSE pg_stat_get_live_tuples(oid) END FROM pg_class"
                           " WHERE oid = to_regclass('orders') AND relkind = 'r'))";

static const char dead_letters[] =
    "WITH reasons AS (SELECT reason, count(*) AS letters, min(died_at) AS oldest"
    " FROM dead_letters WHERE state = 'dead' GROUP BY reason)"
    " SELECT json_build_object('dead', (SELECT coalesce(sum(letters), 0) FROM reasons),"
    " 'oldest_died_at', (SELECT to_char(min(oldest)" AS_TEXT " FROM reasons),"
    " 'by_reason', (SELECT coalesce(json_object_agg(reason, letters), '{}') FROM"
    " (SELECT reason, letters FROM reasons ORDER BY letters DESC, reason LIMIT 50) AS most))";

static const char archive[] =
    "SELECT json_build_object('state', archive, 'fault', archive_fault)"
    " FROM (VALUES (1)) AS one LEFT JOIN scheduler_seen ON at > now() - interval '5 s'";
_Static_assert(JOBS_SCHEDULER_GONE_MS == 5000, "the interval");

static const char outbox[] =
    "SELECT json_build_object("
    "'orders', (SELECT count(*) FROM (SELECT FROM order_outbox LIMIT 10000) AS few),"
    " 'oldest_seconds', (SELECT extract(epoch FROM clock_timestamp() - stored_at)::float8"
    " FROM order_outbox ORDER BY seq LIMIT 1))";

static const char search_index[] =
    "SELECT json_build_object('missing', missing, 'fault', fault, 'documents', documents,"
    " 'verified_at', to_char(verified_at" AS_TEXT
    ", 'verified_full_at', to_char(verified_full_at" AS_TEXT
    ", 'missing_documents', verified_missing, 'extra_documents', verified_extra,"
    " 'different_documents', verified_different) FROM search_index";

static const char last_refresh[] =
    "SELECT to_json((SELECT to_char(finished_at" AS_TEXT
    " FROM sales_refresh WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1))";

static const char *const statements[OVERVIEW_PARTS] = {
    [OVERVIEW_ROWS] = rows,          [OVERVIEW_DEAD_LETTERS] = dead_letters,
    [OVERVIEW_ARCHIVE] = archive,    [OVERVIEW_OUTBOX] = outbox,
    [OVERVIEW_INDEX] = search_index, [OVERVIEW_LAST_REFRESH] = last_refresh,
};

int overview_read(struct database *database, enum overview_part part, database_done_fn *on_done,
                  void *arg)
{
    static const struct database_parameters none = {.count = 0};
    return database_send(database, statements[part], &none, false, on_done, arg);
}

const char *overview_json(const struct database_answer *answer)
{
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0)
        return NULL;
    return PQgetisnull(answer->result, 0, 0) ? "null" : PQgetvalue(answer->result, 0, 0);
}
