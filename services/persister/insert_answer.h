/* What PostgreSQL's answer to the INSERT of a part says of its orders. No database of its own. */
#ifndef PERSISTER_INSERT_ANSWER_H
#define PERSISTER_INSERT_ANSWER_H

#include "services/clients/postgres/orders.h"
#include "services/worker/batch.h"

/* An order's insertion has 5 s in all (with indexing it has to be within the 10 s after which its
 * delivery is requeued). One statement, limited by the server, has less: so four can fail one after
 * another, which is what finding one slow row among 1,000 takes. A locked row is found sooner.
 * After INSERT_TRY_MS no other statement is begun. */
#define INSERT_STATEMENT_TIMEOUT_MS 1200
#define INSERT_LOCK_TIMEOUT_MS 250
#define INSERT_TRY_MS 3800

/* Judge the batch's part; arguments as in orders_inserted_fn. */
void insert_answer_judge(struct batch *batch, const struct insert_result results[],
                         const struct database_answer *answer);

#endif
