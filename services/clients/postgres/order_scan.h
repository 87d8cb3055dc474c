/* Reads all orders, a page in each statement: by their ids, and then those that were committed
 * meanwhile. Neither ids nor created_at follow the order of commits. So what was committed is found
 * by the transactions that wrote the rows: a pass over the table begins with a look at the server's
 * transactions, and the next pass reads the rows of those that may have ended after it. Each
 * function that asks returns 0 or -1 as database_send(). */
#ifndef CLIENTS_POSTGRES_ORDER_SCAN_H
#define CLIENTS_POSTGRES_ORDER_SCAN_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"

#define ORDER_PAGE_ROWS 2000

/* The rows that a statement has read. All zero at first; order_page_release() at last. */
struct order_page {
    size_t rows;
    size_t count;       /* orders of them; the others have no UUID, or cannot be shown exactly */
    char *last_id;      /* of order_page_read(): of the last row, as text; NULL without rows */
    int64_t last_place; /* of order_changes_read(): of the last row */
    int64_t filenode;   /* of order_changes_read(): the table's at that time */
    struct order orders[ORDER_PAGE_ROWS];
};
void order_page_release(struct order_page *page);

/* ---- by id ---- */

/* The first ORDER_PAGE_ROWS rows, by id, with ids above `after` (NULL: from the beginning), which
 * is the `last_id` of the page before. With `until`: those with ids between the two, the highest
 * first; then `until` is the `last_id` of the page before. Fewer rows: these are the last. Ids are
 * text of the column's type. */
int order_page_ask(struct database *database, const char *after, const char *until,
                   database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The answer to it, which is DATABASE_OK. What was in the page is forgotten. */
void order_page_read(const struct database_answer *answer, struct order_page *page);

/* The lowest UUIDv7 of this millisecond, for order_page_ask(). */
void order_page_id_of(int64_t unix_ms, char text[ORDER_ID_TEXT_LEN + 1]);

/* ---- by transaction ---- */

/* How table and server stand when a pass begins. */
struct order_pass {
    int64_t rows;         /* of the table, an estimate; -1: unknown */
    bool by_transaction;  /* its rows tell their places and who wrote them: a view's do not */
    char timeline[40];    /* transactions are comparable within one timeline of one server */
    int64_t filenode;     /* another one: the rows have moved to other places */
    int64_t blocks;       /* of the table */
    int64_t running_from; /* every transaction below has ended */
    int64_t next;         /* no transaction from here on has begun */
};

int order_pass_begin(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));
void order_pass_begun(const struct database_answer *answer, struct order_pass *ret_pass);

/* Whether this pass can find the rows of all transactions from `since` on. Rows have the last 32
 * bits of a transaction's number: a pass looks 2^30 of them back. */
bool order_pass_reaches(const struct order_pass *pass, int64_t since);

/* The place before all rows of a block. */
#define ORDER_PLACE(block) ((int64_t)(block) << 16)

/* The first ORDER_PAGE_ROWS rows, by place, above the place `after`, in at most
 * ORDER_CHANGES_BLOCKS blocks, before the place `end`, that transactions from `since` on have
 * written. */
#define ORDER_CHANGES_BLOCKS 512
int order_changes_ask(struct database *database, int64_t after, int64_t end, int64_t since,
                      database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The answer to it, which is DATABASE_OK. Returns what comes `after` it; all is read when that is
 * `end`. */
int64_t order_changes_read(const struct database_answer *answer, int64_t after, int64_t end,
                           struct order_page *page);

#endif
