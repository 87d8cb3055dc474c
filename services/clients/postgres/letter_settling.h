/* The end of a dead letter: it is replayed, or discarded. */
#ifndef CLIENTS_POSTGRES_LETTER_SETTLING_H
#define CLIENTS_POSTGRES_LETTER_SETTLING_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/letter.h"

/* `letter` (of LETTER_ENDED) has what tells its end alone, and lives during the callback. */
typedef void letter_settled_fn(void *arg, enum letter_settled result, const struct letter *letter,
                               const struct database_answer *answer);

/* Mark a dead letter, and if it is replayed add its order to the outbox, in one transaction. After
 * an answer of which nothing is known, call this again with the same settling: it happens once.
 * `settling` stays the caller's until the callback. Returns 0 or -1 as database_send(). */
int letter_settle(struct database *database, const struct letter_settling *settling,
                  letter_settled_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
