/* What a scheduler writes that watches the index (search_index.h), and the jobs that it asks for by
 * itself. Any number of schedulers may do so at once: each statement depends on what the scheduler
 * has read, and only the first one changes anything. Each function returns 0 or -1 as
 * database_send(); what is called the number is database_number() of the answer. */
#ifndef CLIENTS_POSTGRES_SEARCH_INDEX_WATCH_H
#define CLIENTS_POSTGRES_SEARCH_INDEX_WATCH_H

#include "services/clients/postgres/search_index.h"

/* Another index is there than `read` tells, or none (SEARCH_INDEX_GONE), or the first one. Records
 * it. Search is incomplete by this when there are orders; of a first one only when it is empty, and
 * an order is a minute old. Then the share that is missing is set, verifications and repairs are to
 * be canceled, and, with `repair` and an index, a refill is asked for; else `fault` waits for a
 * person (NULL: nothing does). Nothing happens to an index that a reindex is about to swap in. The
 * number: 1 when search is incomplete by this, else 0. */
int search_index_changed(struct database *database, const struct search_index *read,
                         const char *identity, int64_t documents, bool repair, const char *fault,
                         database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The index that `read` tells has so many documents. When they are fewer than before, and no repair
 * can be the reason, a verification of all orders is asked for, with `repair` one that mends within
 * limits. The number: 1 when it is. */
int search_index_counted(struct database *database, const struct search_index *read,
                         int64_t documents, bool repair, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Search is incomplete, as `read` tells. When the last refill has failed, a minute ago or longer,
 * and no other job about the index waits or runs, another one is asked for. The number: 1 when it
 * is. */
int search_index_refill(struct database *database, const struct search_index *read,
                        database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* A verification is due by its schedule, since the instant `tick_us` (microseconds since 1970). The
 * first scheduler that says so asks for it, unless there are no orders or such a one has not ended
 * yet. The number: 1 when it does. */
int search_index_verify(struct database *database, bool full, int64_t tick_us, bool repair,
                        database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
