/* The end of a dead letter: it is replayed, or discarded. */
#ifndef CLIENTS_POSTGRES_LETTER_SETTLING_H
#define CLIENTS_POSTGRES_LETTER_SETTLING_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/letter.h"

struct letter_settling {
    int64_t id;
    int64_t at_us;      /* now: also what this settling is known by, if its answer is lost */
    const char *by;     /* whom */
    const char *reason; /* why it is discarded; NULL: it is replayed */

    /* Of a replay alone. */
    struct order order; /* goes to the outbox */
    bool needs_free_id; /* only while no row of orders has this id: */
    struct order_id free_id;
};

enum letter_settled {
    LETTER_SETTLED,      /* by this settling, now or when its answer was lost */
    LETTER_ENDED,        /* before, by another */
    LETTER_ORDER_STORED, /* the id is not free; nothing was changed */
    LETTER_MISSING,      /* there is no such letter */
    LETTER_FAILED,       /* see answer; nothing was changed if DATABASE_FAILED or `unexecuted`, else
                            unknown */
};

/* `letter` (of LETTER_ENDED) has what tells its end alone, and lives during the callback. */
typedef void letter_settled_fn(void *arg, enum letter_settled result, const struct letter *letter,
                               const struct database_answer *answer);

/* Mark a dead letter, and if it is replayed add its order to the outbox, in one transaction. After
 * an answer of which nothing is known, call this again with the same settling: it happens once.
 * `settling` stays the caller's until the callback. Returns 0 or -1 as database_send(). */
int letter_settle(struct database *database, const struct letter_settling *settling,
                  letter_settled_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
