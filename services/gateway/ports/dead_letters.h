/* Port: the archive of dead letters (PostgreSQL in production). The rules of all ports:
 * order_cache.h; the statuses: order_store.h. Reads are answered within ORDER_STORE_TIMEOUT_MS,
 * what changes letters within twice this. */
#ifndef GATEWAY_PORTS_DEAD_LETTERS_H
#define GATEWAY_PORTS_DEAD_LETTERS_H

#include "services/clients/postgres/letter.h"
#include "services/gateway/ports/order_store.h"

typedef void dead_letters_listed_fn(void *arg, enum order_store_status status,
                                    const struct letter *letters, size_t count);

/* `letter` is NULL when there is none of this id, or the status is not OK. */
typedef void dead_letters_found_fn(void *arg, enum order_store_status status,
                                   const struct letter *letter,
                                   const struct letter_content *content);

/* `counts` is NULL unless the status is OK. */
typedef void dead_letters_counted_fn(void *arg, enum order_store_status status,
                                     const struct letter_counts *counts);

/* `result` counts when the status is OK, and is never LETTER_FAILED then. ORDER_STORE_UNKNOWN: it
 * may have happened. `letter` tells how it ended, for LETTER_ENDED. */
typedef void dead_letters_settled_fn(void *arg, enum order_store_status status,
                                     enum letter_settled result, const struct letter *letter);

/* `job` 0 with ORDER_STORE_OK: the archive is off, and there is no such job. */
typedef void dead_letters_job_fn(void *arg, enum order_store_status status, int64_t job,
                                 int64_t total);

/* All return -1 at once without a connection or when too much is under way. */
struct dead_letters {
    void *self;

    /* The letters of ids below `before_id`, the highest first, at most `limit`. */
    int (*list)(void *self, const struct letter_filter *filter, int64_t before_id, unsigned limit,
                dead_letters_listed_fn *on_done, void *arg);

    int (*find)(void *self, int64_t id, dead_letters_found_fn *on_done, void *arg);

    /* How many there are, of each reason. */
    int (*count)(void *self, const struct letter_filter *filter, dead_letters_counted_fn *on_done,
                 void *arg);

    /* Replay or discard a letter, once. `settling` must live, unchanged, until the answer. The
     * order of a replay goes to the queue soon. */
    int (*settle)(void *self, const struct letter_settling *settling,
                  dead_letters_settled_fn *on_done, void *arg);

    /* Hand many letters over to the schedulers. ORDER_STORE_UNKNOWN: there may be such a job. */
    int (*begin_job)(void *self, const struct letter_job_request *request,
                     dead_letters_job_fn *on_done, void *arg);
};

#endif
