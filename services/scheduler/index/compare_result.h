/* What a comparison has found: counts, and the first ids of each. A plain value without input or
 * output. */
#ifndef SCHEDULER_INDEX_COMPARE_RESULT_H
#define SCHEDULER_INDEX_COMPARE_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_IDS_MAX 100
#define COMPARE_ID_SIZE 513 /* an _id has at most 512 bytes */

/* Orders or documents of one sort. */
struct compare_tally {
    int64_t count;
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
    int64_t repaired, deleted;          /* documents */
    bool approximate; /* there was too much to look up again: counts by hour, of what is left */
};

void compare_result_release(struct compare_result *result);

void compare_tally_add(struct compare_tally *tally, const char *id);

/* Orders that the index lacks or has wrong, for whatever reason, and that were not mended. */
int64_t compare_result_differences(const struct compare_result *result);

/* As the job's result shows it; a new reference. */
json_t *compare_result_to_json(const struct compare_result *result);

/* Read what compare_result_to_json() made. Returns 0, or -1 with `ret_result` empty. */
int compare_result_from_json(const json_t *json, struct compare_result *ret_result)
    __attribute__((warn_unused_result));

#endif
