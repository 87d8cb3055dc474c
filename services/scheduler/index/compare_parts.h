/* What the parts of a comparison (index_compare.h) share. Inside it. */
#ifndef SCHEDULER_INDEX_COMPARE_PARTS_H
#define SCHEDULER_INDEX_COMPARE_PARTS_H

#include "proto/error.h"
#include "services/clients/postgres/order_hours.h"
#include "services/scheduler/index/document_reader.h"
#include "services/scheduler/index/index_requests.h"
#include "services/scheduler/job_runner.h"
#include <stdbool.h>
#include <stddef.h>

struct compare_parts {
    struct job_run *run;
    struct index_requests *requests;
    struct document_reader *reader;
    bool asking; /* Elasticsearch is; nothing else is done until it has answered */
    bool failed; /* for this reason: */
    struct error reason;
};

/* Elasticsearch has answered; a step comes next. Returns whether it did what was asked: `failure`
 * is NULL. */
bool compare_answered(struct compare_parts *parts, const struct error *failure)
    __attribute__((warn_unused_result));

void compare_fail(struct compare_parts *parts, const char *reason);

/* Rows of a page by their ids. */
struct compare_rows {
    size_t count;
    const struct order_row *rows[ORDER_ROWS_MAX];
};
void compare_rows_sort(struct compare_rows *rows, const struct order_row_page *page);
const struct order_row *compare_rows_find(const struct compare_rows *rows,
                                          const struct order_id *id); /* NULL: there is none */

#endif
