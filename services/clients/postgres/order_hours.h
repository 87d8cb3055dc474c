/* Orders by when they were created, for comparing them with an index: sums by hour, and the rows.
 */
#ifndef CLIENTS_POSTGRES_ORDER_HOURS_H
#define CLIENTS_POSTGRES_ORDER_HOURS_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/order_walk.h"

/* The rows of an hour, or those of them that a step has read: an hour may come in several steps,
 * and by key in any order. */
struct order_hour {
    int64_t start_us;
    int64_t orders;
    int64_t sum_cents; /* of the orders' amounts */
    int64_t
        magnitude_cents; /* of their absolute values: by this a sum of rounded amounts is judged */
    int64_t others;      /* rows that no order can have, such as with an amount NaN; not among the
                            numbers above */
};

/* Count and sum the next rows of a walk that has not ended. Returns 0 or -1 as database_send(). */
int order_hours_next(struct database *database, struct order_walk *walk, database_done_fn *on_done,
                     void *arg) __attribute__((warn_unused_result));

/* Read the answer to it, whatever its status is, before anything else is done about the answer. The
 * walk moves on when the answer is good; when the statement took too long, the same rows are read
 * in smaller steps. Returns how many hours were written: at most ORDER_HOURS_MAX, 0 on a failure.
 */
#define ORDER_HOURS_MAX 20000
size_t order_hours_read(struct order_walk *walk, const struct database_answer *answer,
                        struct order_hour hours[ORDER_HOURS_MAX]);

/* A row. */
struct order_row {
    bool is_order;      /* else only the id is true: its other columns hold what no order can */
    struct order order; /* created_at as the column holds it, which may have fewer digits than 6 */
};

#define ORDER_ROWS_MAX 1000
struct order_row_page {
    size_t count;
    struct order_row rows[ORDER_ROWS_MAX];
    int64_t nameless; /* rows beside these, whose id is no order's */
    int digits;       /* decimals of a second that created_at holds, for order_row_same_instant() */
};

/* Read the next rows of a walk that has not ended: as order_hours_next(). A page may be empty. */
int order_hours_rows_next(struct database *database, struct order_walk *walk,
                          database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
void order_hours_rows_read(struct order_walk *walk, const struct database_answer *answer,
                           struct order_row_page *page);

/* Read the rows of 1..ORDER_ROWS_MAX ids, in any order; read the answer, if it is DATABASE_OK, by
 * order_rows_found(). */
int order_rows_find(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
void order_rows_found(const struct database_answer *answer, struct order_row_page *page);

/* Which of 1..ORDER_ROWS_MAX ids have a letter that died on the way to the index, and that is still
 * dead? Read the answer, if it is DATABASE_OK, by order_rows_dead_read(): returns how many ids were
 * written, each once, in any order. */
int order_rows_dead(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
size_t order_rows_dead_read(const struct database_answer *answer,
                            struct order_id ids[ORDER_ROWS_MAX]);

/* Whether a document's instant is the one that the row has, in a column of so many digits. */
bool order_row_same_instant(int64_t document_us, int64_t row_us, int digits);

#endif
