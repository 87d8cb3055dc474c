/* A statement on a connection that does nothing else yet: while a session is opened, and for
 * --check. Inside the database module. */
#ifndef CLIENTS_POSTGRES_ASK_H
#define CLIENTS_POSTGRES_ASK_H

#include "proto/error.h"
#include <libpq-fe.h>

/* PQexecParams() with a limit of time, for a statement that succeeds. `values`: `count` parameters
 * as text. Returns its result, the caller's to PQclear(), or NULL with `err` set: one printable
 * line, of the server or "no answer in time". Then the connection is of no further use. Blocks for
 * `timeout_ms` at most. */
PGresult *ask(PGconn *conn, const char *sql, int count, const char *const *values, int timeout_ms,
              struct error *err) __attribute__((warn_unused_result));

/* The same judgement of a result that was got otherwise: it is returned, or cleared. */
PGresult *ask_judge(PGconn *conn, PGresult *result, struct error *err)
    __attribute__((warn_unused_result));

#endif
