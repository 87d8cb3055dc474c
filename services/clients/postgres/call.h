/* database_send() for this module's own functions, which allocate what their answer needs. Inside
 * the database module. */
#ifndef CLIENTS_POSTGRES_CALL_H
#define CLIENTS_POSTGRES_CALL_H

#include "services/clients/postgres/connection.h"

/* As database_send(); `drop` frees `arg` when database_free() drops the statement unanswered. */
int database_call(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void (*drop)(void *arg), void *arg)
    __attribute__((warn_unused_result));

#endif
