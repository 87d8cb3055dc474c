/* What is at the other end of a new connection, and does this project work with it? Inside the
 * database module. */
#ifndef CLIENTS_POSTGRES_SERVER_H
#define CLIENTS_POSTGRES_SERVER_H

#include "proto/error.h"
#include <libpq-fe.h>
#include <stdbool.h>

/* Look. `writes`: a server that takes no writes will not do. Returns 0 and whether a pooler is
 * between, or -1 with `err` set. Blocks for `timeout_ms` at most, in each of its three statements.
 */
int server_look(PGconn *conn, bool writes, int timeout_ms, bool *ret_pooled, struct error *err)
    __attribute__((warn_unused_result));

#endif
