/* Looks at the schema: a statement on the catalogs, and one that reads the installed version. The
 * second one is of no use while order_pipeline_schema is missing, so it comes second. */
#include "services/clients/postgres/schema.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/ask.h"
#include <stdio.h>
#include <stdlib.h>

void schema_look_read(const PGresult *result, struct schema_look *ret_look)
{
    struct error *const columns[] = {&ret_look->fault, &ret_look->missing, &ret_look->refusal};
    for (int i = 0; i < (int)(sizeof columns / sizeof columns[0]); i++)
        answer_set_line(columns[i]->message, sizeof columns[i]->message, PQgetvalue(result, 0, i));
}

/* A schema of an older version counts as one with something missing. */
static int look_at_version(PGconn *conn, int timeout_ms, struct schema_look *look,
                           struct error *err)
{
    static const char sql[] = "SELECT coalesce(max(version), 0) FROM order_pipeline_schema";
    PGresult *result = ask(conn, sql, 0, NULL, timeout_ms, err);
    if (result == NULL)
        return -1;
    int version = atoi(PQgetvalue(result, 0, 0));
    if (version < SCHEMA_VERSION)
        error_set(&look->missing, "version %d is installed and %d is needed", version,
                  SCHEMA_VERSION);
    PQclear(result);
    return 0;
}

int schema_look(PGconn *conn, unsigned uses, int timeout_ms, struct schema_look *ret_look,
                struct error *err)
{
    char uses_text[12];
    snprintf(uses_text, sizeof uses_text, "%u", uses);
    const char *const values[] = {uses_text};
    PGresult *result = ask(conn, schema_check_sql, 1, values, timeout_ms, err);
    if (result == NULL)
        return -1;
    schema_look_read(result, ret_look);
    PQclear(result);
    if (ret_look->fault.message[0] != '\0' || ret_look->missing.message[0] != '\0')
        return 0;
    return look_at_version(conn, timeout_ms, ret_look, err);
}
