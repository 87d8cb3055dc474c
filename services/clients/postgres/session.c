#include "services/clients/postgres/session.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/schema.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A transaction that waits for its client longer than this is rolled back by the server, so that a
 * frozen process does not keep its locks. */
#define IDLE_IN_TRANSACTION_TIMEOUT "15s"

/* What a role, a database or the server may have been configured to otherwise. search_path stays:
 * it tells where the tables are. With synchronous_commit off, an order would be acknowledged before
 * it is durable. A statement whose client is gone ends within 2 s (PostgreSQL 14 and later). */
static const char settings_sql[] =
    "SELECT set_config('timezone', 'UTC', false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " set_config('statement_timeout', $1, false),"
    " set_config('lock_timeout', $2, false),"
    " set_config('idle_in_transaction_session_timeout', '" IDLE_IN_TRANSACTION_TIMEOUT "', false),"
    " CASE WHEN current_setting('synchronous_commit') = 'off'"
    " THEN set_config('synchronous_commit', 'on', false) END,"
    " CASE WHEN current_setting('client_connection_check_interval', true) IS NOT NULL"
    " THEN set_config('client_connection_check_interval', '2s', false) END";

static int send_step(struct session *session)
{
    PGconn *conn = session->conn;
    switch (session->step) {
    case SESSION_SETTINGS: {
        char statement_timeout[24], lock_timeout[24];
        snprintf(statement_timeout, sizeof statement_timeout, "%" PRId64 "ms",
                 session->options->statement_timeout_ms);
        snprintf(lock_timeout, sizeof lock_timeout, "%" PRId64 "ms",
                 session->options->lock_timeout_ms);
        const char *const values[] = {statement_timeout, lock_timeout};
        return PQsendQueryParams(conn, settings_sql, 2, NULL, values, NULL, NULL, 0);
    }
    case SESSION_SCHEMA_CHECK:
        return PQsendQuery(conn, schema_check_sql);
    case SESSION_SCHEMA_INSTALL:
        return PQsendQuery(conn, schema_install_sql);
    }
    return 0;
}

static enum session_progress start_step(struct session *session, enum session_step step,
                                        struct error *err)
{
    session->step = step;
    if (send_step(session) == 1)
        return SESSION_STEPPED;
    error_set(err, "%s", PQerrorMessage(session->conn));
    return SESSION_FAILED;
}

enum session_progress session_start(struct session *session, PGconn *conn,
                                    const struct database_options *options, struct error *err)
{
    *session = (struct session){.conn = conn, .options = options};
    return start_step(session, SESSION_SETTINGS, err);
}

static bool schema_is_right(const PGresult *result)
{
    return PQntuples(result) == 1 && atoi(PQgetvalue(result, 0, 0)) >= SCHEMA_VERSION;
}

/* Take one result of the step. Returns false when it is an error that ends the session. */
static bool take_result(struct session *session, const PGresult *result, struct error *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (session->step == SESSION_SCHEMA_CHECK)
            session->schema_right = schema_is_right(result);
        return true;
    }
    struct database_answer answer;
    (void)answer_set_error(&answer, result); /* fatal or not, the session ends */
    if (session->step == SESSION_SCHEMA_CHECK && answer_has_sqlstate(&answer, "42P01"))
        return true;
    error_set(err, "%s%s", session->step == SESSION_SETTINGS ? "" : "the schema: ", answer.message);
    return false;
}

enum session_progress session_read(struct session *session, struct error *err)
{
    PGconn *conn = session->conn;
    if (PQconsumeInput(conn) != 1) {
        error_set(err, "%s", PQerrorMessage(conn));
        return SESSION_FAILED;
    }
    for (;;) {
        if (PQisBusy(conn))
            return SESSION_WAITING;
        PGresult *result = PQgetResult(conn);
        if (result == NULL)
            break;
        bool good = take_result(session, result, err);
        PQclear(result);
        if (!good)
            return SESSION_FAILED;
    }
    switch (session->step) {
    case SESSION_SETTINGS:
        if (session->options->installs_schema)
            return start_step(session, SESSION_SCHEMA_CHECK, err);
        break;
    case SESSION_SCHEMA_CHECK:
        if (!session->schema_right)
            return start_step(session, SESSION_SCHEMA_INSTALL, err);
        break;
    case SESSION_SCHEMA_INSTALL:
        break;
    }
    return SESSION_READY;
}

int64_t session_step_timeout_ms(const struct session *session, int64_t default_ms)
{
    return session->step == SESSION_SCHEMA_INSTALL ? SCHEMA_INSTALL_TIMEOUT_MS : default_ms;
}
