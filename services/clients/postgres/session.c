/* A session is opened by plain blocking calls of libpq. While it connects, libpq keeps the time.
 * After that the loop does, and ends a late step by shutdown() on a descriptor of its own: libpq
 * may close its descriptor at any time, and the number may then be another connection's. */
#include "services/clients/postgres/session.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/ask.h"
#include "services/clients/postgres/dsn.h"
#include "services/clients/postgres/schema.h"
#include "services/clients/postgres/server.h"
#include "services/clients/postgres/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
    char *dsn, *application_name;
    struct settings settings;
    unsigned uses;
    bool reads_only;

    pthread_mutex_t mutex; /* of the next three */
    int socket;            /* a duplicate of libpq's, while a step may be cut; or -1 */
    int64_t deadline_ms;   /* of the thread's step */
    bool cut;

    PGconn *conn; /* the result, or NULL: `err` */
    bool pooled;
    struct error err;
};

/* The thread begins a step. Returns false when the session is cut: then there is to be none. */
static bool begin_step(struct session *session, int socket, int64_t timeout_ms)
{
    pthread_mutex_lock(&session->mutex);
    session->socket = socket;
    session->deadline_ms = clock_monotonic_ms() + timeout_ms;
    bool cut = session->cut;
    pthread_mutex_unlock(&session->mutex);
    return !cut;
}

/* Is this the result of a statement that succeeded? Else say why not. Frees the result. */
static bool succeeded(struct session *session, PGconn *conn, const char *subject, PGresult *result)
{
    struct error reason = {""};
    PGresult *success = ask_judge(conn, result, &reason);
    error_set(&session->err, "%s%s", subject, reason.message);
    PQclear(success);
    return success != NULL;
}

static bool apply_settings(struct session *session, PGconn *conn)
{
    const char *values[SETTINGS_PARAMETERS];
    settings_parameters(&session->settings, SETTINGS_OF_SESSION, values);
    return succeeded(
        session, conn, "",
        PQexecParams(conn, settings_sql, SETTINGS_PARAMETERS, NULL, values, NULL, NULL, 0));
}

/* Look at the schema. False when that failed or somebody else has to mend something: see `err`. */
static bool look_at_schema(struct session *session, PGconn *conn, int socket,
                           struct schema_look *ret_look)
{
    if (!begin_step(session, socket, SESSION_STEP_TIMEOUT_MS) ||
        schema_look(conn, session->uses, SESSION_STEP_TIMEOUT_MS, ret_look, &session->err) != 0)
        return false;
    error_set(&session->err, "the schema: %s", ret_look->fault.message);
    return ret_look->fault.message[0] == '\0';
}

/* Install what is missing of the schema. Replicas that start at once wait for the one that installs
 * it, and then find nothing missing: to run all of it again would stop those who work already. */
static bool prepare_schema(struct session *session, PGconn *conn, int socket)
{
    struct schema_look look;
    if (!look_at_schema(session, conn, socket, &look))
        return false;
    if (look.missing.message[0] == '\0')
        return true;
    char subject[sizeof look.missing.message + 20];
    snprintf(subject, sizeof subject, "the schema: %s: ", look.missing.message);
    if (!begin_step(session, socket, SCHEMA_INSTALL_TIMEOUT_MS) ||
        !succeeded(session, conn, subject, PQexec(conn, SCHEMA_BEGIN_SQL)) ||
        !look_at_schema(session, conn, socket, &look))
        return false;
    if (look.missing.message[0] == '\0')
        return succeeded(session, conn, "", PQexec(conn, "ROLLBACK"));
    if (!begin_step(session, socket, SCHEMA_INSTALL_TIMEOUT_MS) ||
        !succeeded(session, conn, subject, PQexec(conn, schema_install_sql)) ||
        !look_at_schema(session, conn, socket, &look))
        return false;
    error_set(&session->err, "the schema: %s, and installing it did not help",
              look.missing.message);
    return look.missing.message[0] == '\0';
}

static bool prepare(struct session *session, PGconn *conn, int socket)
{
    if (!begin_step(session, socket, SESSION_STEP_TIMEOUT_MS) ||
        server_look(conn, !session->reads_only, SESSION_STEP_TIMEOUT_MS, &session->pooled,
                    &session->err) != 0)
        return false;
    if (!session->pooled &&
        (!begin_step(session, socket, SESSION_STEP_TIMEOUT_MS) || !apply_settings(session, conn)))
        return false;
    if (session->uses != 0 && !prepare_schema(session, conn, socket))
        return false;
    error_set(&session->err, "the connection cannot be made non-blocking");
    return PQsetnonblocking(conn, 1) == 0;
}

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg, (void)notice;
}

void session_open(void *arg)
{
    struct session *session = arg;
    PGconn *conn = dsn_connect(session->dsn, session->application_name, &session->err);
    if (conn == NULL)
        return;
    PQsetNoticeReceiver(conn, ignore_notice, NULL); /* else libpq writes to stderr */
    int socket = fcntl(PQsocket(conn), F_DUPFD_CLOEXEC, 0);
    if (socket < 0)
        error_set(&session->err, "%s", strerror(errno));
    bool ready = socket >= 0 && prepare(session, conn, socket);
    if (begin_step(session, -1, SESSION_STEP_TIMEOUT_MS) && ready)
        session->conn = conn;
    else
        PQfinish(conn);
    if (socket >= 0)
        close(socket);
}

struct session *session_new(const struct database_options *options)
{
    struct session *session = memory_new(sizeof *session);
    session->dsn = memory_copy_text(options->dsn);
    session->application_name = memory_copy_text(options->application_name);
    settings_init(&session->settings, options);
    session->uses = options->uses;
    session->reads_only = options->reads_only;
    pthread_mutex_init(&session->mutex, NULL);
    (void)begin_step(session, -1, SESSION_STEP_TIMEOUT_MS);
    return session;
}

void session_release(void *arg)
{
    struct session *session = arg;
    PQfinish(session->conn); /* non-blocking, or NULL */
    pthread_mutex_destroy(&session->mutex);
    free(session->dsn);
    free(session->application_name);
    free(session);
}

bool session_keep_time(struct session *session, int64_t *ret_next_ms)
{
    pthread_mutex_lock(&session->mutex);
    int64_t now_ms = clock_monotonic_ms();
    bool late = now_ms >= session->deadline_ms, connecting = session->socket < 0;
    if (late)
        session->deadline_ms = now_ms + SESSION_STEP_TIMEOUT_MS;
    *ret_next_ms = session->deadline_ms - now_ms;
    pthread_mutex_unlock(&session->mutex);
    if (late && !connecting)
        session_cut(session);
    return !(late && connecting);
}

void session_cut(struct session *session)
{
    pthread_mutex_lock(&session->mutex);
    session->cut = true;
    if (session->socket >= 0)
        (void)shutdown(session->socket, SHUT_RDWR); /* fails when the peer has gone */
    pthread_mutex_unlock(&session->mutex);
}

PGconn *session_take(struct session *session, bool *ret_pooled, struct error *err)
{
    PGconn *conn = session->conn;
    session->conn = NULL;
    *ret_pooled = session->pooled;
    if (conn == NULL)
        error_set(err, "%s",
                  session->cut ? "the session is not ready in time" : session->err.message);
    return conn;
}
