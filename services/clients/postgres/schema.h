/* The database schema: schema.sql, embedded, and the one query that tells whether it is installed.
 * Inside the database module. */
#ifndef CLIENTS_POSTGRES_SCHEMA_H
#define CLIENTS_POSTGRES_SCHEMA_H

#define SCHEMA_VERSION 2

/* Installing waits for the other replicas and may have to read all orders. A little more than the
 * server's own limit in schema.sql, twice: waiting, then working. */
#define SCHEMA_INSTALL_TIMEOUT_MS (11 * 60 * 1000)

/* One row with the version, when everything is there; no row when something was dropped since;
 * SQLSTATE 42P01 (undefined table) when it was never installed. */
extern const char schema_check_sql[];

/* All of schema.sql: several statements in a transaction of their own, for PQexec(). */
extern const char schema_install_sql[];

#endif
