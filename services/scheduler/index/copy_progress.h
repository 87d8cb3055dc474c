/* How far a copy has come: what its checkpoint keeps. A plain value without input or output. */
#ifndef SCHEDULER_INDEX_COPY_PROGRESS_H
#define SCHEDULER_INDEX_COPY_PROGRESS_H

#include "proto/order_id.h"
#include "services/clients/postgres/order_scan.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define COPY_REFUSED_IDS_MAX 100

struct copy_progress {
    bool begun;
    bool ids_copied;        /* all orders that the pass by id found */
    char *after;            /* else that of the next page; NULL: the first */
    char timeline[40];      /* of the passes; empty: none can tell what was committed meanwhile */
    int64_t since;          /* the next pass copies the transactions from here on */
    int64_t looked_ms;      /* when `since` was read, since 1970 */
    int64_t swapped_at;     /* transactions below may have been there at the swap; 0: not swapped */
    bool transactions_left; /* some of these have not ended */
    int64_t done, total;    /* rows of the pass by id; `total` -1: unknown */
    int64_t copied;         /* orders, in all passes */
    int64_t unreadable;     /* rows that are no orders */
    int64_t refused;        /* by Elasticsearch, in all passes, for what the documents are */
    int64_t passes;         /* after that by id */
    json_t *refused_ids;    /* the first ones */
};

/* From what copy_progress_to_text() made, or NULL, or something else: from the beginning. */
void copy_progress_init(struct copy_progress *progress, const char *text);
void copy_progress_release(struct copy_progress *progress);
char *copy_progress_to_text(const struct copy_progress *progress); /* free() it */

/* The first pass begins. */
void copy_progress_begin(struct copy_progress *progress, const struct order_pass *pass,
                         int64_t looked_ms);

/* A page of the pass by id is written. */
void copy_progress_page(struct copy_progress *progress, const struct order_page *page);

/* An order, which was counted as copied or will be, is refused. */
void copy_progress_refused(struct copy_progress *progress, const struct order_id *id);

/* As a job's result shows it; a new reference. */
json_t *copy_progress_result(const struct copy_progress *progress);

/* Does such a result tell that the mapping is wrong, rather than single orders: more than 1 % are
 * refused, not counting those that were refused before, whose letters are `dead`? */
bool copy_result_is_refused(const json_t *result, int64_t dead, struct error *ret_reason);

#endif
