/* The failure of a comparison, and a page of rows sorted by id. */
#include "services/scheduler/index/compare_parts.h"
#include <stdlib.h>
#include <string.h>

bool compare_answered(struct compare_parts *parts, const struct error *failure)
{
    parts->asking = false;
    job_run_step_in(parts->run, 0);
    if (failure == NULL)
        return true;
    compare_fail(parts, failure->message);
    return false;
}

void compare_fail(struct compare_parts *parts, const char *reason)
{
    parts->failed = true;
    error_set(&parts->reason, "%s", reason);
}

static int by_id(const void *a, const void *b)
{
    const struct order_row *left = *(const struct order_row *const *)a,
                           *right = *(const struct order_row *const *)b;
    return memcmp(&left->order.id, &right->order.id, sizeof left->order.id);
}

void compare_rows_sort(struct compare_rows *rows, const struct order_row_page *page)
{
    rows->count = page->count;
    for (size_t i = 0; i < page->count; i++)
        rows->rows[i] = &page->rows[i];
    if (page->count > 0)
        qsort(rows->rows, page->count, sizeof rows->rows[0], by_id);
}

static int id_to_row(const void *id, const void *row)
{
    return memcmp(id, &(*(const struct order_row *const *)row)->order.id, sizeof(struct order_id));
}

const struct order_row *compare_rows_find(const struct compare_rows *rows,
                                          const struct order_id *id)
{
    const struct order_row *const *found =
        bsearch(id, rows->rows, rows->count, sizeof rows->rows[0], id_to_row);
    return found == NULL ? NULL : *found;
}
