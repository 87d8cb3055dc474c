/* Reaching a database for --check. */
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/dsn.h"
#include "services/clients/postgres/schema.h"
#include "services/clients/postgres/server.h"
#include "services/clients/postgres/session.h"

static int look(PGconn *conn, unsigned uses, struct error *err)
{
    bool pooled;
    struct schema_look look;
    if (server_look(conn, true, SESSION_STEP_TIMEOUT_MS, &pooled, err) != 0)
        return -1;
    if (uses == 0)
        return 0;
    if (schema_look(conn, uses, SESSION_STEP_TIMEOUT_MS, &look, err) != 0)
        return -1;
    bool missing = look.missing.message[0] != '\0';
    if (look.fault.message[0] != '\0')
        error_set(err, "the schema: %s", look.fault.message);
    else if (missing && look.refusal.message[0] != '\0')
        error_set(err, "the schema: %s, and %s", look.missing.message, look.refusal.message);
    else
        return 0; /* what is missing is installed by the first service that starts */
    return -1;
}

int database_reach(const char *dsn, unsigned uses, struct error *err)
{
    PGconn *conn = dsn_connect(dsn, "check", err);
    int status = conn != NULL ? look(conn, uses, err) : -1;
    PQfinish(conn); /* NULL is legal */
    return status;
}
