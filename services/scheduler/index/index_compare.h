/* Compares the orders of PostgreSQL with the documents of an index, and mends the index if it is
 * told to. Counts and sums by hour say in which hours the two differ; the orders and documents of
 * these hours are looked up by id; what differs is looked up once more INDEX_COMPARE_SETTLE_MS
 * later, and is a difference if it still differs. An order in flight is none. */
#ifndef SCHEDULER_INDEX_INDEX_COMPARE_H
#define SCHEDULER_INDEX_INDEX_COMPARE_H

#include "services/scheduler/index/compare_result.h"
#include <stdbool.h>
#include <stdint.h>

#define INDEX_COMPARE_SETTLE_MS (30 * 1000)

struct index_compare;
struct index_context;
struct job_run;

enum index_compare_mode {
    INDEX_COMPARE_REPORT,
    INDEX_COMPARE_WITHIN_LIMITS, /* mend if no more than max(1 % of the orders, 1,000) are missing
                                    or different */
    INDEX_COMPARE_REPAIR,
};

struct index_compare_options {
    const char *index;  /* name or alias; copied; created_at is a date in its mapping */
    bool require_alias; /* `index` is an alias: writes are refused when it is none any more */
    bool
        float_amounts; /* its mapping keeps `amount` as float: sums are compared with a tolerance */
    bool counts_only;  /* `amount` is no number in its mapping: no sums are compared */
    bool by_time;      /* orders are read by created_at, for which an index in PostgreSQL is made */
    bool full; /* up to `to_us`, and what is dated later than the coming hour; else from `from_us`
                  on */
    int64_t from_us, to_us; /* of created_at; `to_us` is excluded */
    bool fields;            /* look up every order, also in hours that agree */
    enum index_compare_mode mode;
    bool delete_extra;      /* when it mends: documents without an order are deleted */
    const char *checkpoint; /* that index_compare_checkpoint() gave before, or NULL. Its from_us and
                               to_us are used instead of those here */
};

/* The engine of a job that runs. `context` and `run` outlive it. */
struct index_compare *index_compare_new(const struct index_context *context, struct job_run *run,
                                        const struct index_compare_options *options);
/* As soon as no statement of it is under way, as in a kind's end(). NULL is legal. */
void index_compare_free(struct index_compare *compare);

/* Do the next thing: the kind's step() as long as it runs. */
void index_compare_step(struct index_compare *compare);

enum index_compare_state { INDEX_COMPARE_RUNNING, INDEX_COMPARE_DONE, INDEX_COMPARE_FAILED };
/* `*ret_reason`: why it has failed, else untouched; it lives as long as the engine. */
enum index_compare_state index_compare_state(const struct index_compare *compare,
                                             const char **ret_reason);

/* So far; final when it is done. Lives as long as the engine. */
const struct compare_result *index_compare_result(const struct index_compare *compare);

/* How far it is: orders that were counted, and those that were looked up. The total is an estimate
 * at first. */
int64_t index_compare_done(const struct index_compare *compare);
int64_t index_compare_total(const struct index_compare *compare);

/* From where on a comparison that is begun anew goes on: JSON, or NULL as long as there is nothing
 * to go on from. Lives until the next step. */
const char *index_compare_checkpoint(const struct index_compare *compare);

#endif
