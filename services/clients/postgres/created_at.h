/* The index on orders.created_at: whether there is one, and the statements that make, drop and
 * summarize it. Each function returns 0 or -1 as database_send(). */
#ifndef CLIENTS_POSTGRES_CREATED_AT_H
#define CLIENTS_POSTGRES_CREATED_AT_H

#include "services/clients/postgres/connection.h"

/* Ask what has to be done before orders can be read by created_at. Any index on it that holds all
 * rows is enough, whoever made it. Changes nothing. */
int created_at_look(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

enum created_at_next {
    CREATED_AT_USE,  /* nothing: there is an index */
    CREATED_AT_MAKE, /* there is none: created_at_make() */
    CREATED_AT_DROP, /* there is one that a making which failed has left: created_at_drop() */
    CREATED_AT_WAIT, /* another session makes one */
    CREATED_AT_CANNOT,
};

/* The answer to it, which is DATABASE_OK. CREATED_AT_CANNOT: *ret_reason says why not, and lives as
 * long as the answer. */
enum created_at_next created_at_looked(const struct database_answer *answer,
                                       const char **ret_reason);

/* Make or drop orders_created_at_brin, CONCURRENTLY: stops no writer, and takes as long as reading
 * the table, and until every transaction has ended that was open before. */
int created_at_make(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));
int created_at_drop(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Put the rows into a BRIN's summaries that came since the last VACUUM: each reader reads them
 * otherwise. */
int created_at_summarize(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
