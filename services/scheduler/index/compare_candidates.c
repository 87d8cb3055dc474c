/* The ids stand one after the other in a buffer of their own: most have 36 bytes, and few may have
 * 512. */
#include "services/scheduler/index/compare_candidates.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(COMPARE_CANDIDATES_BYTES <= UINT32_MAX, "where an id begins");

enum compare_verdict compare_sides(const struct order_row *row, const struct document *document,
                                   int digits)
{
    if (row == NULL)
        return document->state == DOCUMENT_ABSENT ? COMPARE_SAME : COMPARE_EXTRA;
    if (!row->is_order)
        return COMPARE_SAME; /* it cannot be indexed, and explains its document */
    if (document->state == DOCUMENT_ABSENT)
        return COMPARE_MISSING;
    return document->state == DOCUMENT_ORDER && order_same_payload(&row->order, &document->order) &&
                   order_row_same_instant(document->order.created_at_us, row->order.created_at_us,
                                          digits)
               ? COMPARE_SAME
               : COMPARE_DIFFERENT;
}

enum compare_verdict compare_again(const struct compare_candidate *candidate,
                                   const struct order_row *row, const struct document *document,
                                   int digits)
{
    enum compare_verdict verdict = compare_sides(row, document, digits);
    bool old = verdict == COMPARE_EXTRA ? !candidate->had_order : candidate->had_order;
    return old ? verdict : COMPARE_SAME;
}

void compare_candidates_init(struct compare_candidates *candidates)
{
    *candidates = (struct compare_candidates){
        .list = memory_new_array(COMPARE_CANDIDATES_MAX, sizeof *candidates->list),
        .ids = memory_take(COMPARE_CANDIDATES_BYTES)};
}

void compare_candidates_release(struct compare_candidates *candidates)
{
    free(candidates->list);
    free(candidates->ids);
}

void compare_candidates_clear(struct compare_candidates *candidates)
{
    candidates->count = candidates->ids_len = 0;
}

bool compare_candidates_fit(const struct compare_candidates *candidates, size_t count)
{
    return count <= COMPARE_CANDIDATES_MAX - candidates->count &&
           count * DOCUMENT_ID_SIZE <= COMPARE_CANDIDATES_BYTES - candidates->ids_len;
}

void compare_candidates_add(struct compare_candidates *candidates, const char *id, size_t id_len,
                            const struct compare_candidate *candidate)
{
    assert(id_len < DOCUMENT_ID_SIZE && compare_candidates_fit(candidates, 1));
    struct compare_candidate *added = &candidates->list[candidates->count++];
    *added = *candidate;
    added->id = (uint32_t)candidates->ids_len;
    memcpy(candidates->ids + candidates->ids_len, id, id_len);
    candidates->ids[candidates->ids_len + id_len] = '\0';
    candidates->ids_len += id_len + 1;
}

const char *compare_candidates_id(const struct compare_candidates *candidates, size_t i)
{
    return candidates->ids + candidates->list[i].id;
}

static int by_id(const void *a, const void *b, void *ids)
{
    return strcmp((const char *)ids + ((const struct compare_candidate *)a)->id,
                  (const char *)ids + ((const struct compare_candidate *)b)->id);
}

void compare_candidates_settle(struct compare_candidates *candidates)
{
    if (candidates->count == 0)
        return;
    qsort_r(candidates->list, candidates->count, sizeof *candidates->list, by_id, candidates->ids);
    size_t kept = 1;
    for (size_t i = 1; i < candidates->count; i++) {
        const struct compare_candidate *from = &candidates->list[i];
        struct compare_candidate *to = &candidates->list[kept - 1];
        if (by_id(from, to, candidates->ids) != 0) {
            candidates->list[kept++] = *from;
            continue;
        }
        to->had_order |= from->had_order; /* found by its row and by its document */
    }
    candidates->count = kept;
}
