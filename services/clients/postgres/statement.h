/* One statement that waits for its answer, with a copy of its parameters: it may be sent later than
 * it was given, and again. Inside the database module. */
#ifndef CLIENTS_POSTGRES_STATEMENT_H
#define CLIENTS_POSTGRES_STATEMENT_H

#include "services/clients/postgres/connection.h"

struct statement {
    const char *sql; /* lives for ever */
    struct database_parameters parameters;
    bool binary_result;
    database_done_fn *on_done;
    void (*drop)(void *arg); /* instead of on_done, when the owner is freed; or NULL */
    void *arg;

    void *copies; /* of the parameters; statement_release() frees them */

    /* The pipeline's. */
    int64_t deadline_ms;
    size_t prepared;  /* its place among the prepared statements, or PREPARED_MAX */
    bool parses;      /* its Parse goes along */
    unsigned results; /* what the server gives before it answers the Sync */
    bool again;       /* it was sent before by a name that did not serve, and goes without one */
};

/* Let `statement->parameters` point at copies of these (NULL: none). */
void statement_copy_parameters(struct statement *statement,
                               const struct database_parameters *parameters);
void statement_release(struct statement *statement);

#define STATEMENT_NAME_SIZE 20

/* A name for the prepared statement: a digest of its SQL and of the types of its parameters. So
 * whoever finds a statement of this name finds this statement, also behind a pooler. */
void statement_name(const struct statement *statement, char name[STATEMENT_NAME_SIZE]);

#endif
