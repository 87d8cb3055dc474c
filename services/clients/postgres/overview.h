/* What an operator wants to know of the tables at a glance. Each part is a statement of its own, so
 * that one that cannot be answered does not hide the others. */
#ifndef CLIENTS_POSTGRES_OVERVIEW_H
#define CLIENTS_POSTGRES_OVERVIEW_H

#include "services/clients/postgres/connection.h"

enum overview_part {
    OVERVIEW_ROWS,         /* of orders, as PostgreSQL estimates: a number, or null */
    OVERVIEW_DEAD_LETTERS, /* {"dead","oldest_died_at","by_reason":{}}; the 50 most usual reasons */
    OVERVIEW_ARCHIVE,      /* of dead letters, {"state","fault"}: null without a scheduler */
    OVERVIEW_OUTBOX,       /* {"orders","oldest_seconds"}; counted up to 10,000 */
    OVERVIEW_INDEX,        /* the row about the search index (search_index.h) */
    OVERVIEW_LAST_REFRESH, /* of the daily sales, or null */
    OVERVIEW_PARTS,
};

/* Ask for a part. Returns 0 or -1 as database_send(). */
int overview_read(struct database *database, enum overview_part part, database_done_fn *on_done,
                  void *arg) __attribute__((warn_unused_result));

/* The part as JSON; lives as long as the answer. NULL when the answer is not DATABASE_OK. */
const char *overview_json(const struct database_answer *answer);

#endif
