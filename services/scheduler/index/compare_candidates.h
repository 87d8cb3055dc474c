/* Ids whose order and document differed when they were looked up, or of which one was not there.
 * Looked up again after a while, they are judged. A list in memory, without input or output. */
#ifndef SCHEDULER_INDEX_COMPARE_CANDIDATES_H
#define SCHEDULER_INDEX_COMPARE_CANDIDATES_H

#include "services/clients/postgres/order_hours.h"
#include "services/scheduler/index/document_reader.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_CANDIDATES_MAX 100000
#define COMPARE_CANDIDATES_BYTES ((size_t)8 * 1024 * 1024) /* of their ids */

enum compare_verdict {
    COMPARE_SAME, /* or too young to be judged */
    COMPARE_MISSING,
    COMPARE_EXTRA,
    COMPARE_DIFFERENT,
};

struct compare_candidate {
    uint32_t id;                  /* where its text begins */
    bool had_order;               /* at the first look; else it had a document */
    enum compare_verdict verdict; /* at the second look */
    bool dead;                    /* COMPARE_MISSING: its letter has died at the index stage */
    int64_t seq_no, primary_term; /* of the document that had no order */
};

struct compare_candidates {
    struct compare_candidate *list; /* by id after compare_candidates_settle(), each id once */
    size_t count;
    char *ids; /* NUL at the end of each */
    size_t ids_len;
};

/* What an id's row and document say, at the first look. `row` is NULL when there is none. `digits`:
 * as of struct order_row_page. */
enum compare_verdict compare_sides(const struct order_row *row, const struct document *document,
                                   int digits);

/* At the second look. Only what was there at the first look is missed in the other place: a row
 * that has come since then has its document soon. */
enum compare_verdict compare_again(const struct compare_candidate *candidate,
                                   const struct order_row *row, const struct document *document,
                                   int digits);

void compare_candidates_init(struct compare_candidates *candidates);
void compare_candidates_release(struct compare_candidates *candidates);
void compare_candidates_clear(struct compare_candidates *candidates);

/* Is there room for `count` more, whatever ids they have? */
bool compare_candidates_fit(const struct compare_candidates *candidates, size_t count);

/* There must be room. `seq_no` and `primary_term` are used when the document has no order. */
void compare_candidates_add(struct compare_candidates *candidates, const char *id, size_t id_len,
                            const struct compare_candidate *candidate);

/* After the last: sort them, and keep each id once. */
void compare_candidates_settle(struct compare_candidates *candidates);

const char *compare_candidates_id(const struct compare_candidates *candidates, size_t i);

#endif
