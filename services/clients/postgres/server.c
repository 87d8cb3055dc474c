/* A pooler invents the process id that a client is told when it connects, since the client has no
 * process of its own: so the id differs from that of the process which answers. Behind a pooler a
 * transaction is tried, which statement pooling does not allow. */
#include "services/clients/postgres/server.h"
#include "services/clients/postgres/ask.h"
#include <stdlib.h>
#include <string.h>

enum { COLUMN_PROCESS, COLUMN_READ_ONLY, COLUMN_STANDBY, COLUMN_ISOLATION };

static int succeed(PGconn *conn, const char *sql, int timeout_ms, struct error *err)
{
    PGresult *result = ask(conn, sql, 0, NULL, timeout_ms, err);
    PQclear(result); /* NULL is legal */
    return result != NULL ? 0 : -1;
}

static int try_transaction(PGconn *conn, int timeout_ms, struct error *err)
{
    struct error reason;
    if (succeed(conn, "BEGIN", timeout_ms, &reason) == 0 &&
        succeed(conn, "ROLLBACK", timeout_ms, &reason) == 0)
        return 0;
    error_set(err, "the pooler must pool transactions or sessions: %s", reason.message);
    return -1;
}

int server_look(PGconn *conn, bool writes, int timeout_ms, bool *ret_pooled, struct error *err)
{
    static const char sql[] =
        "SELECT pg_backend_pid(), current_setting('transaction_read_only'), pg_is_in_recovery(),"
        " current_setting('default_transaction_isolation')";
    PGresult *result = ask(conn, sql, 0, NULL, timeout_ms, err);
    if (result == NULL)
        return -1;
    bool pooled = atoi(PQgetvalue(result, 0, COLUMN_PROCESS)) != PQbackendPID(conn);
    const char *isolation = PQgetvalue(result, 0, COLUMN_ISOLATION);
    int status = -1;
    if (writes && PQgetvalue(result, 0, COLUMN_STANDBY)[0] == 't')
        error_set(err, "the server is a standby, which takes no writes");
    else if (writes && strcmp(PQgetvalue(result, 0, COLUMN_READ_ONLY), "on") == 0)
        error_set(err, "the server takes no writes: default_transaction_read_only is on");
    else if (pooled && strcmp(isolation, "read committed") != 0)
        error_set(err,
                  "behind a pooler, default_transaction_isolation must be 'read committed', and it "
                  "is '%s'",
                  isolation);
    else
        status = pooled ? try_transaction(conn, timeout_ms, err) : 0;
    PQclear(result);
    if (status == 0)
        *ret_pooled = pooled;
    return status;
}
