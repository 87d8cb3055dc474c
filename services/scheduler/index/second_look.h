/* The second look of a comparison (index_compare.h): reads the order and the document of each
 * candidate again, judges them, and then, if that is wanted, mends the index. */
#ifndef SCHEDULER_INDEX_SECOND_LOOK_H
#define SCHEDULER_INDEX_SECOND_LOOK_H

#include "services/scheduler/index/compare_candidates.h"
#include "services/scheduler/index/compare_parts.h"
#include "services/scheduler/index/compare_result.h"

struct index_context;
struct second_look;

struct second_look_options {
    const char *index; /* copied */
    bool require_alias;
    bool delete_extra;
};

/* All of these outlive it. What is found and mended is counted in `result`. */
struct second_look *second_look_new(const struct index_context *context,
                                    struct compare_parts *parts,
                                    struct compare_candidates *candidates,
                                    struct compare_result *result,
                                    const struct second_look_options *options);
void second_look_free(struct second_look *look); /* NULL is legal */

/* Begin to judge all candidates, which are settled; or, after that, to mend what differs. */
void second_look_judge(struct second_look *look);
void second_look_mend(struct second_look *look);

/* Do the next thing, while neither a statement nor a question to Elasticsearch is under way.
 * Returns whether there is more to do. */
bool second_look_step(struct second_look *look);

#endif
