/* Statements that read by an index, or a few rows. The server writes the JSON. */
#include "services/clients/postgres/overview.h"
#include "services/clients/postgres/jobs.h"

/* RFC 3339 in UTC, or null. */
#define INSTANT(column)                                                                            \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

static const char
    *const
        statements[OVERVIEW_PARTS] =
            {
                /* -1: it was never analyzed. */
                [OVERVIEW_ROWS] =
                    "SELECT to_json((SELECT reltuples::bigint FROM pg_class"
                    " WHERE oid = to_regclass('orders') AND relkind = 'r' AND reltuples >= 0))",
                [OVERVIEW_DEAD_LETTERS] =
                    "WITH reasons AS (SELECT reason, count(*) AS letters, min(died_at) AS oldest"
                    " FROM dead_letters WHERE state = 'dead' GROUP BY reason)"
                    " SELECT json_build_object('dead', (SELECT coalesce(sum(letters), 0) FROM "
                    "reasons),"
                    " 'oldest_died_at', (SELECT " INSTANT(
                        "min(oldest)") " FROM reasons),"
                                       " 'by_reason', (SELECT coalesce(json_object_agg(reason, "
                                       "letters), '{}') FROM"
                                       " (SELECT reason, letters FROM reasons ORDER BY letters "
                                       "DESC, reason LIMIT 50) AS most))",
                [OVERVIEW_ARCHIVE] =
                    "SELECT json_build_object('state', archive, 'fault', archive_fault)"
                    " FROM (VALUES (1)) AS one LEFT JOIN scheduler_seen ON at > now() - interval "
                    "'5 s'",
                [OVERVIEW_OUTBOX] = "SELECT json_build_object("
                                    "'orders', (SELECT count(*) FROM (SELECT FROM order_outbox "
                                    "LIMIT 10000) AS few),"
                                    " 'oldest_seconds', (SELECT extract(epoch FROM "
                                    "clock_timestamp() - stored_at)::float8"
                                    " FROM order_outbox ORDER BY seq LIMIT 1))",
                [OVERVIEW_LAST_REFRESH] = "SELECT to_json((SELECT " INSTANT(
                    "finished_at") " FROM sales_refresh WHERE finished_at IS NOT NULL ORDER BY id "
                                   "DESC LIMIT 1))",
                [OVERVIEW_JOBS] =
                    "SELECT coalesce(json_agg(json_build_object('id', id, 'kind', kind, 'state', "
                    "state,"
                    " 'parameters', parameters, 'requested_at', " INSTANT("requested") ", "
                                                                                       "'requested_"
                                                                                       "by', "
                                                                                       "requested_"
                                                                                       "by, "
                                                                                       "'started_"
                                                                                       "at',"
                                                                                       " " INSTANT("started") ", 'finished_at', " INSTANT(
                                                                                           "finishe"
                                                                                           "d") ", "
                                                                                                "'d"
                                                                                                "on"
                                                                                                "e'"
                                                                                                ", "
                                                                                                "do"
                                                                                                "ne"
                                                                                                ", "
                                                                                                "'t"
                                                                                                "ot"
                                                                                                "al"
                                                                                                "',"
                                                                                                " t"
                                                                                                "ot"
                                                                                                "al"
                                                                                                ", "
                                                                                                "'r"
                                                                                                "es"
                                                                                                "ul"
                                                                                                "t'"
                                                                                                ", "
                                                                                                "re"
                                                                                                "su"
                                                                                                "lt"
                                                                                                ", "
                                                                                                "'e"
                                                                                                "rr"
                                                                                                "or"
                                                                                                "',"
                                                                                                " e"
                                                                                                "rr"
                                                                                                "or"
                                                                                                ","
                                                                                                " '"
                                                                                                "ca"
                                                                                                "nc"
                                                                                                "el"
                                                                                                "_r"
                                                                                                "eq"
                                                                                                "ue"
                                                                                                "st"
                                                                                                "ed"
                                                                                                "',"
                                                                                                " c"
                                                                                                "an"
                                                                                                "ce"
                                                                                                "l)"
                                                                                                " O"
                                                                                                "RD"
                                                                                                "ER"
                                                                                                " B"
                                                                                                "Y "
                                                                                                "id"
                                                                                                " D"
                                                                                                "ES"
                                                                                                "C)"
                                                                                                ", "
                                                                                                "'["
                                                                                                "]'"
                                                                                                ")"
                                                                                                " F"
                                                                                                "RO"
                                                                                                "M "
                                                                                                "(S"
                                                                                                "EL"
                                                                                                "EC"
                                                                                                "T "
                                                                                                "* "
                                                                                                "FR"
                                                                                                "OM"
                                                                                                " j"
                                                                                                "ob"
                                                                                                "s "
                                                                                                "OR"
                                                                                                "DE"
                                                                                                "R "
                                                                                                "BY"
                                                                                                " i"
                                                                                                "d "
                                                                                                "DE"
                                                                                                "SC"
                                                                                                " L"
                                                                                                "IM"
                                                                                                "IT"
                                                                                                " 5"
                                                                                                ") "
                                                                                                "AS"
                                                                                                " l"
                                                                                                "as"
                                                                                                "t",
};
_Static_assert(JOBS_SCHEDULER_GONE_MS == 5000, "the interval");

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
