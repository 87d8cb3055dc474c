/* Reads of the archive of dead letters. Each function is one statement, and returns 0 or -1 as
 * database_send(). What a callback is given lives during the callback. */
#ifndef CLIENTS_POSTGRES_DEAD_LETTERS_H
#define CLIENTS_POSTGRES_DEAD_LETTERS_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/letter.h"

/* None unless the answer is DATABASE_OK. */
typedef void letters_listed_fn(void *arg, const struct letter *letters, size_t count,
                               const struct database_answer *answer);

/* The letters of ids below `before_id`, the highest first, at most `limit`. */
int letters_list(struct database *database, const struct letter_filter *filter, int64_t before_id,
                 unsigned limit, letters_listed_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* `letter` is NULL when there is none of this id, or the answer is not DATABASE_OK. */
typedef void letter_found_fn(void *arg, const struct letter *letter,
                             const struct letter_content *content,
                             const struct database_answer *answer);

int letters_find(struct database *database, int64_t id, letter_found_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* `counts` is NULL unless the answer is DATABASE_OK. */
typedef void letters_counted_fn(void *arg, const struct letter_counts *counts,
                                const struct database_answer *answer);

/* How many there are, of each reason. */
int letters_count(struct database *database, const struct letter_filter *filter,
                  letters_counted_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
