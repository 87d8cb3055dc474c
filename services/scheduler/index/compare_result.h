/* What a comparison has found: counts, and the first ids of each. A plain value without input or
 * output. */
#ifndef SCHEDULER_INDEX_COMPARE_RESULT_H
#define SCHEDULER_INDEX_COMPARE_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_IDS_MAX 100

/* Orders or documents of one sort. */
struct compare_tally {
    int64_t count, mended;
    size_t id_count;
    char *ids[COMPARE_IDS_MAX]; /* the first ones */
};

struct compare_result {
    int64_t from_us, to_us;       /* of created_at; `from_us` is INT64_MIN when all was compared */
    int64_t orders, documents;    /* on either side */
    struct compare_tally missing; /* an order without a document */
    struct compare_tally extra;   /* a document without an order */
    struct compare_tally different;     /* the document says something else than the order */
    struct compare_tally dead_at_index; /* without a document, because its letter died there */
    struct compare_tally refused;       /* by Elasticsearch, when they were to be mended */
    bool approximate; /* there was too much to look up again: counts by hour, of what is left */
};

void compare_result_release(struct compare_result *result);

void compare_tally_add(struct compare_tally *tally, const char *id);
int64_t compare_tally_left(const struct compare_tally *tally); /* that were not mended */

/* Orders that the index lacks or has wrong, for whatever reason, and that were not mended. */
int64_t compare_result_differences(const struct compare_result *result);

/* As the job's result shows it; a new reference. */
json_t *compare_result_to_json(const struct compare_result *result);

/* The same, and what compare_result_load() needs besides. */
json_t *compare_result_save(const struct compare_result *result);

/* Returns 0, or -1 with `ret_result` empty: it is none that was saved. */
int compare_result_load(const json_t *json, struct compare_result *ret_result)
    __attribute__((warn_unused_result));

/* May an index that lacks so many of so many orders, or has them wrong, be mended without a person
 * who wants that? */
bool compare_within_limits(int64_t wrong, int64_t orders);

/* What of the result waits for a person, because it is more than is mended without one; or "". */
#define COMPARE_FAULT_SIZE 400
void compare_result_fault(const struct compare_result *result, char fault[COMPARE_FAULT_SIZE]);

#endif
