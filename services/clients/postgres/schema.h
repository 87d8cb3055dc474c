/* The database schema: schema.sql and schema_check.sql, embedded, and what the check found. Inside
 * the database module. */
#ifndef CLIENTS_POSTGRES_SCHEMA_H
#define CLIENTS_POSTGRES_SCHEMA_H

#include "services/clients/postgres/advisory_locks.h"
#include "services/clients/postgres/connection.h"

#define SCHEMA_VERSION 6

/* Installing waits for the other replicas and may have to read all orders. A little more than the
 * server's own limit in SCHEMA_BEGIN_SQL, twice: waiting, then working. */
#define SCHEMA_INSTALL_TIMEOUT_MS (11 * 60 * 1000)

/* Begins the transaction of an installation, for PQexec(). All replicas come here at once on an
 * empty database: one installs, and the others wait for its lock. Without it, two that race would
 * fail: CREATE … IF NOT EXISTS alone meets a unique violation in the catalog. Filling the view
 * reads all orders, hence the timeout. */
#define SCHEMA_BEGIN_SQL                                                                           \
    "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = '5min';"        \
    " SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(" LOCK_OF_SCHEMA ")"

/* All of schema.sql: the rest of that transaction, several statements for PQexec(). */
extern const char schema_install_sql[];

/* All of schema_check.sql, which tells its parameters and its row. */
extern const char schema_check_sql[];

/* What is wrong with the schema for a connection; all are "" when it is fit. */
struct schema_look {
    struct error fault;   /* to be mended by somebody else */
    struct error missing; /* schema_install_sql makes it */
    struct error refusal; /* why this role cannot run schema_install_sql, or "" */
};

/* Look, on a connection that does nothing else. `uses`: bits of enum database_use. Returns 0, or -1
 * with `err` set: no answer in time, or the server's words. Blocks for `timeout_ms` at most. */
int schema_look(PGconn *conn, unsigned uses, int timeout_ms, struct schema_look *ret_look,
                struct error *err) __attribute__((warn_unused_result));

/* The row of an answer to schema_check_sql. */
void schema_look_read(const PGresult *result, struct schema_look *ret_look);

#endif
