/* A PostgreSQL connection string: is it one, and connecting by it. libpq does all that it asks for:
 * hosts in turn, TLS, service and password files. */
#include "services/clients/postgres/dsn.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/connection.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a URI whose password holds a plain '@', libpq takes the rest of the password for a part of the
 * host, which then shows in messages. One at the beginning is an abstract Unix socket. */
static bool host_has_at_sign(const PQconninfoOption *options)
{
    while (options->keyword != NULL && strcmp(options->keyword, "host") != 0)
        options++;
    for (const char *c = options->val; c != NULL && *c != '\0'; c++)
        if (*c == '@' && c > options->val && c[-1] != ',')
            return true;
    return false;
}

int database_dsn_validate(const char *text, struct error *err)
{
    char *reason = NULL; /* quotes parts of the text, which may hold a password */
    PQconninfoOption *options = PQconninfoParse(text, &reason);
    PQfreemem(reason);
    if (options == NULL) {
        error_set(err, "not a PostgreSQL connection string (libpq keywords or URI)");
        return -1;
    }
    bool wrong = host_has_at_sign(options);
    PQconninfoFree(options);
    if (wrong)
        error_set(err, "a host name with '@' in it: write '@' in a password as %%40");
    return wrong ? -1 : 0;
}

PGconn *dsn_connect(const char *dsn, const char *application_name, struct error *err)
{
    /* What stands before "dbname" gives way to the connection string, and what stands behind it
     * does not. A silent peer is given up after 10 + 3 · 5 s, unacknowledged data after 20 s
     * (tcp(7)). libpq would look for Kerberos credentials at each connection. */
    const char *const parameters[][2] = {
        {"connect_timeout", "5"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "20000"},
        {"gssencmode", "disable"},
        {"dbname", dsn},
        {"client_encoding", "UTF8"},
        {"fallback_application_name", application_name},
    };
    enum { COUNT = sizeof parameters / sizeof parameters[0] };
    const char *keywords[COUNT + 1] = {NULL}, *values[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) {
        keywords[i] = parameters[i][0];
        values[i] = parameters[i][1];
    }
    if (database_dsn_validate(dsn, err) != 0)
        return NULL;
    PGconn *conn = PQconnectdbParams(keywords, values, 1);
    if (conn == NULL)
        abort(); /* out of memory */
    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    /* libpq 17 has no message when the process is out of descriptors. */
    const char *reason = strerror(errno), *message = PQerrorMessage(conn);
    answer_set_line(err->message, sizeof err->message, message[0] != '\0' ? message : reason);
    PQfinish(conn);
    return NULL;
}

int database_reach(const char *dsn, struct error *err)
{
    PGconn *conn = dsn_connect(dsn, "check", err);
    PQfinish(conn); /* NULL is legal */
    return conn != NULL ? 0 : -1;
}
