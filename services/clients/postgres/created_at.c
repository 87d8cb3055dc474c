/* An index that is not valid is used by no reader, and paid for by each writer. One that is being
 * made now looks the same, but for its progress. */
#include "services/clients/postgres/created_at.h"
#include <string.h>

int created_at_look(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH orders AS (SELECT oid, relkind, relowner, relnamespace FROM pg_class"
        " WHERE oid = to_regclass('orders')),"
        " indexes AS (SELECT i.indexrelid, c.relname, i.indisvalid AND i.indpred IS NULL"
        " AND amname IN ('brin', 'btree') AND attname = 'created_at' AS fit, i.indisvalid"
        " FROM orders JOIN pg_index AS i ON i.indrelid = orders.oid"
        " JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am ON pg_am.oid = c.relam"
        " LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0])"
        " SELECT CASE WHEN NOT EXISTS (SELECT FROM orders) THEN 'orders is missing'"
        " WHEN EXISTS (SELECT FROM indexes WHERE fit) THEN 'use'"
        " WHEN relkind <> 'r' THEN 'orders is no plain table'"
        " WHEN NOT pg_has_role(relowner, 'USAGE') THEN"
        " format('orders belongs to role %s', pg_get_userbyid(relowner))"
        " WHEN NOT has_schema_privilege(relnamespace, 'CREATE') THEN"
        " format('role %s lacks CREATE on schema %s', current_user, relnamespace::regnamespace)"
        " WHEN EXISTS (SELECT FROM indexes JOIN pg_stat_progress_create_index"
        " ON index_relid = indexrelid WHERE relname = 'orders_created_at_brin') THEN 'wait'"
        " WHEN EXISTS (SELECT FROM indexes WHERE relname = 'orders_created_at_brin') THEN 'drop'"
        " ELSE 'make' END FROM (VALUES (1)) AS one LEFT JOIN orders ON true";
    return database_send(database, sql, NULL, false, on_done, arg);
}

enum created_at_next created_at_looked(const struct database_answer *answer,
                                       const char **ret_reason)
{
    static const struct {
        const char *word;
        enum created_at_next next;
    } words[] = {{"use", CREATED_AT_USE},
                 {"make", CREATED_AT_MAKE},
                 {"drop", CREATED_AT_DROP},
                 {"wait", CREATED_AT_WAIT}};
    const char *said = PQgetvalue(answer->result, 0, 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(said, words[i].word) == 0)
            return words[i].next;
    *ret_reason = said;
    return CREATED_AT_CANNOT;
}

int created_at_make(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] = "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_created_at_brin"
                              " ON orders USING brin (created_at) WITH (autosummarize = on)";
    return database_send(database, sql, NULL, false, on_done, arg);
}

int created_at_drop(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] = "DROP INDEX CONCURRENTLY IF EXISTS orders_created_at_brin";
    return database_send(database, sql, NULL, false, on_done, arg);
}

int created_at_summarize(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index AS i"
        " JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am ON pg_am.oid = relam"
        " JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid = 'orders'::regclass AND attname = 'created_at' AND i.indisvalid"
        " AND amname = 'brin' AND c.relkind = 'i' AND pg_has_role(relowner, 'USAGE')";
    return database_send(database, sql, NULL, false, on_done, arg);
}
