/* A session of PostgreSQL: connected, looked at (server.h), set up (UTC, timeouts) unless a pooler
 * is between, the schema installed or upgraded. Opening one blocks, so it is the work of a thread
 * (services/loop/background.h), and the loop keeps the time, because libpq has no limit for a
 * statement. Inside the database module. */
#ifndef CLIENTS_POSTGRES_SESSION_H
#define CLIENTS_POSTGRES_SESSION_H

#include "services/clients/postgres/connection.h"

/* For each step, but for the installation: SCHEMA_INSTALL_TIMEOUT_MS. */
#define SESSION_STEP_TIMEOUT_MS 5000

struct session;

/* One that is to be opened with these options, which are copied. Never blocks. */
struct session *session_new(const struct database_options *options);

/* The thread's: open it. Blocks, as dsn_connect() does and then until session_cut(). */
void session_open(void *session);

/* Whichever side is the last. Never blocks. */
void session_release(void *session);

/* The loop's, while the thread opens it: cut it if its present step has taken too long. Connecting
 * is not cut, since libpq has a limit for each address; it returns false then, once for each
 * SESSION_STEP_TIMEOUT_MS that has passed. *ret_next_ms: when to look again. Never blocks. */
bool session_keep_time(struct session *session, int64_t *ret_next_ms);

/* The loop's: no more of it. A connection that is made is shut down, so the thread ends at once;
 * while libpq is still connecting, the thread ends after that. Never blocks. */
void session_cut(struct session *session);

/* The loop's, when the thread is through: the connection, idle and non-blocking, which the caller
 * ends with PQfinish(), and whether a pooler is between; or NULL with `err` set. */
PGconn *session_take(struct session *session, bool *ret_pooled, struct error *err)
    __attribute__((warn_unused_result));

#endif
