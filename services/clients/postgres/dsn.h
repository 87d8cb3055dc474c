/* Connecting by a PostgreSQL connection string. Inside the database module. */
#ifndef CLIENTS_POSTGRES_DSN_H
#define CLIENTS_POSTGRES_DSN_H

#include "proto/error.h"
#include <libpq-fe.h>

/* PQconnectdbParams(): UTF-8; and unless the connection string has settings of its own for it, a
 * connect_timeout of 5 s, dead peers noticed within half a minute and no GSSAPI encryption. Returns
 * a connection, which the caller ends with PQfinish(), or NULL with `err` set: one printable line
 * without secrets. Blocks for up to the connect_timeout for each address of each host, and while
 * the name service is silent. */
PGconn *dsn_connect(const char *dsn, const char *application_name, struct error *err)
    __attribute__((warn_unused_result));

#endif
