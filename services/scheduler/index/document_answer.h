/* What Elasticsearch answers about documents: reads the answers of _mget, _search and scrolls.
 * Pure.
 */
#ifndef SCHEDULER_INDEX_DOCUMENT_ANSWER_H
#define SCHEDULER_INDEX_DOCUMENT_ANSWER_H

#include "proto/error.h"
#include "proto/json_span.h"
#include "proto/order.h"
#include "services/clients/elasticsearch/server_error.h"
#include "services/scheduler/index/document_reader.h"

/* ---- documents ---- */

struct document_answer;

/* Read {"docs": […]} of _mget, or {"hits": {"hits": […]}} of a search; `body` stays the caller's,
 * and unchanged. A search that not all shards have answered is refused. Returns NULL with `err` set
 * when it is no such answer. */
struct document_answer *document_answer_new(const char *body, size_t len_bytes, struct error *err)
    __attribute__((warn_unused_result));
void document_answer_free(struct document_answer *answer); /* NULL is legal */

/* Of a scroll's page; NULL when the answer has none. Lives as long as the answer, as all below. */
const char *document_answer_scroll(const struct document_answer *answer);

size_t document_answer_count(const struct document_answer *answer);

struct document_item {
    const char *id, *index;       /* "" when there is none */
    bool found;                   /* _mget tells also of documents that are not there */
    int64_t seq_no, primary_term; /* 0 when there is none */
    struct json_span source;      /* len 0: there is none */
    bool failed;                  /* _mget: the document could not be read, since: */
    struct server_error error;
};

/* The next one; false behind the last. */
bool document_answer_next(struct document_answer *answer, struct document_item *ret_item);

/* The order that a _source has. An amount that was written as a floating-point number counts by its
 * first 15 digits, which are all that an amount has. Returns 0, or -1 when it is no order. */
int document_order(struct json_span source, struct order *ret_order)
    __attribute__((warn_unused_result));

/* ---- sums of a search ---- */

/* Each returns 0, or -1 with `err` set when the answer is something else. */

/* Read {"aggregations": {"hours": …}}, a composite aggregation, and write its hours, at most
 * DOCUMENT_HOURS_MAX; how many: *ret_count. */
int document_answer_hours(const char *body, size_t len_bytes, struct document_hour *hours,
                          size_t *ret_count, struct error *err) __attribute__((warn_unused_result));

/* Read the total of all hits, and {"aggregations": {"undated": …}}. */
int document_answer_totals(const char *body, size_t len_bytes, int64_t *ret_documents,
                           int64_t *ret_undated, struct error *err)
    __attribute__((warn_unused_result));

#endif
