/* Making a new connection ready: its settings, then the schema. One statement after another, before
 * the connection enters pipeline mode, since schema.sql is several statements in one. Inside the
 * database module. */
#ifndef CLIENTS_POSTGRES_SESSION_H
#define CLIENTS_POSTGRES_SESSION_H

#include "services/clients/postgres/connection.h"

enum session_step { SESSION_SETTINGS, SESSION_SCHEMA_CHECK, SESSION_SCHEMA_INSTALL };

struct session {
    PGconn *conn; /* non-blocking, idle; stays the caller's */
    const struct database_options *options;
    enum session_step step;
    bool schema_right; /* the check has said so */
};

enum session_progress {
    SESSION_WAITING, /* for the socket; PQflush() as usual */
    SESSION_STEPPED, /* waiting, and a new step has begun */
    SESSION_READY,
    SESSION_FAILED, /* `err` is set */
};

/* Begin. Returns SESSION_STEPPED or SESSION_FAILED. */
enum session_progress session_start(struct session *session, PGconn *conn,
                                    const struct database_options *options, struct error *err);

/* Take what has arrived. Never blocks. */
enum session_progress session_read(struct session *session, struct error *err);

/* How long the step may take in all. */
int64_t session_step_timeout_ms(const struct session *session, int64_t default_ms);

#endif
