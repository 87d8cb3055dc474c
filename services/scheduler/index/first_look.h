/* The first look of a comparison (index_compare.h): reads the orders and the documents of the hours
 * that differ, and collects the ids whose order and document differ or lack each other. */
#ifndef SCHEDULER_INDEX_FIRST_LOOK_H
#define SCHEDULER_INDEX_FIRST_LOOK_H

#include "services/scheduler/index/compare_candidates.h"
#include "services/scheduler/index/compare_hours.h"
#include "services/scheduler/index/compare_parts.h"

struct first_look;

/* All of these outlive it. The candidates are added to. */
struct first_look *first_look_new(struct compare_parts *parts, const struct compare_range *range,
                                  const struct compare_hours *hours, struct compare_choice choice,
                                  struct compare_candidates *candidates);
void first_look_free(struct first_look *look); /* NULL is legal */

/* Look into the hours of a span, which is clipped to the range. `by_key`: the orders are not read
 * by their time. */
void first_look_span(struct first_look *look, const struct compare_span *span, bool by_key);

/* Look at the documents that have no created_at. */
void first_look_undated(struct first_look *look);

enum first_look_state {
    FIRST_LOOK_RUNS,
    FIRST_LOOK_FULL, /* no room for more candidates: make room, and step on */
    FIRST_LOOK_DONE, /* of what was begun */
};
/* Do the next thing, while neither a statement nor a question to Elasticsearch is under way. */
enum first_look_state first_look_step(struct first_look *look);

int64_t first_look_orders(const struct first_look *look); /* how many were looked up, in all */

/* Elasticsearch has forgotten where a walk over documents was, which was begun anew: candidates of
 * it that are not in the list any more may be found twice. */
bool first_look_repeats(const struct first_look *look);

#endif
