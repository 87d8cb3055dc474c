/* The beginning of a comparison (index_compare.h): counts and sums orders and documents by hour. */
#ifndef SCHEDULER_INDEX_HOUR_COUNT_H
#define SCHEDULER_INDEX_HOUR_COUNT_H

#include "services/scheduler/index/compare_hours.h"
#include "services/scheduler/index/compare_parts.h"

struct hour_count;
struct index_context;

struct hour_count_options {
    struct compare_range range;
    bool all; /* the range begins with the first order, and documents without created_at count */
    bool by_time; /* orders will be read by created_at, for which an index is made if there is none
                   */
    bool sums;    /* of documents, too */
};

/* All of these outlive it. `hours` is added to. */
struct hour_count *hour_count_new(const struct index_context *context, struct compare_parts *parts,
                                  struct compare_hours *hours,
                                  const struct hour_count_options *options);
/* NULL is legal. */
void hour_count_free(struct hour_count *count);

/* Do the next thing, while neither a statement nor a question to Elasticsearch is under way.
 * Returns whether there is more to do. */
bool hour_count_step(struct hour_count *count);

/* When all is counted: can orders be read by created_at; and how many documents have none, 0 unless
 * all were counted. */
bool hour_count_by_time(const struct hour_count *count);
int64_t hour_count_undated(const struct hour_count *count);

#endif
