/* Reaching a database for --check. */
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/dsn.h"
#include "services/clients/postgres/server.h"
#include "services/clients/postgres/session.h"

int database_reach(const char *dsn, struct error *err)
{
    bool pooled;
    PGconn *conn = dsn_connect(dsn, "check", err);
    int status = conn != NULL ? server_look(conn, true, SESSION_STEP_TIMEOUT_MS, &pooled, err) : -1;
    PQfinish(conn); /* NULL is legal */
    return status;
}
