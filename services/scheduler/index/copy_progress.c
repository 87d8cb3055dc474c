/* The checkpoint is a JSON object with the members of the struct. */
#include "services/scheduler/index/copy_progress.h"
#include "services/base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof((struct order_pass *)0)->timeline ==
                   sizeof((struct copy_progress *)0)->timeline,
               "the timeline fits");

static int64_t number(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

void copy_progress_init(struct copy_progress *progress, const char *text)
{
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *after = json_string_value(json_object_get(json, "after"));
    const json_t *ids = json_object_get(json, "ids");
    const char *timeline = json_string_value(json_object_get(json, "timeline"));
    *progress = (struct copy_progress){
        .begun = timeline != NULL,
        .ids_copied = json_is_true(json_object_get(json, "ids_copied")),
        .after = after != NULL ? memory_copy_text(after) : NULL,
        .since = number(json, "since"),
        .looked_ms = number(json, "looked_ms"),
        .swapped_at = number(json, "swapped_at"),
        .done = number(json, "done"),
        .total = number(json, "total"),
        .copied = number(json, "copied"),
        .unreadable = number(json, "unreadable"),
        .refused = number(json, "refused"),
        .passes = number(json, "passes"),
        .refused_ids = json_is_array(ids) ? json_deep_copy(ids) : json_array(),
    };
    if (progress->begun)
        (void)snprintf(progress->timeline, sizeof progress->timeline, "%s", timeline);
    else
        progress->total = -1;
    json_decref(json);
}

void copy_progress_release(struct copy_progress *progress)
{
    free(progress->after);
    json_decref(progress->refused_ids);
}

/* `after` is left out when it is no UTF-8: then a copy that is begun anew begins at the first id.
 */
char *copy_progress_to_text(const struct copy_progress *progress)
{
    if (!progress->begun)
        return memory_copy_text("{}");
    json_t *after = progress->after != NULL ? json_string(progress->after) : NULL;
    json_t *json = json_pack(
        "{ss sb so* sI sI sI sI sI sI sI sI sI sO}", "timeline", progress->timeline, "ids_copied",
        progress->ids_copied, "after", after, "since", (json_int_t)progress->since, "looked_ms",
        (json_int_t)progress->looked_ms, "swapped_at", (json_int_t)progress->swapped_at, "done",
        (json_int_t)(after != NULL || progress->ids_copied ? progress->done : 0), "total",
        (json_int_t)progress->total, "copied", (json_int_t)progress->copied, "unreadable",
        (json_int_t)(after != NULL || progress->ids_copied ? progress->unreadable : 0), "refused",
        (json_int_t)progress->refused, "passes", (json_int_t)progress->passes, "ids",
        progress->refused_ids);
    char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        abort(); /* out of memory */
    json_decref(json);
    return text;
}

void copy_progress_begin(struct copy_progress *progress, const struct order_pass *pass,
                         int64_t looked_ms)
{
    progress->begun = true;
    progress->since = pass->running_from;
    progress->looked_ms = looked_ms;
    progress->total = pass->rows;
    (void)snprintf(progress->timeline, sizeof progress->timeline, "%s",
                   pass->by_transaction ? pass->timeline : "");
}

void copy_progress_page(struct copy_progress *progress, const struct order_page *page)
{
    progress->done += (int64_t)page->rows;
    progress->unreadable += (int64_t)(page->rows - page->count);
    free(progress->after);
    progress->after = page->last_id != NULL ? memory_copy_text(page->last_id) : NULL;
}

void copy_progress_refused(struct copy_progress *progress, const struct order_id *id)
{
    char text[ORDER_ID_TEXT_LEN + 1];
    order_id_format(id, text);
    progress->copied--;
    progress->refused++;
    for (size_t i = 0; i < json_array_size(progress->refused_ids); i++)
        if (strcmp(json_string_value(json_array_get(progress->refused_ids, i)), text) == 0)
            return;
    if (json_array_size(progress->refused_ids) < COPY_REFUSED_IDS_MAX)
        (void)json_array_append_new(progress->refused_ids, json_string(text));
}

json_t *copy_progress_result(const struct copy_progress *progress)
{
    return json_pack("{sI s{sI sO} sI sI sb}", "copied", (json_int_t)progress->copied, "refused",
                     "count", (json_int_t)progress->refused, "ids", progress->refused_ids,
                     "unreadable", (json_int_t)progress->unreadable, "passes",
                     (json_int_t)progress->passes, "transactions_left",
                     (int)progress->transactions_left);
}

bool copy_result_is_refused(const json_t *result, int64_t dead, struct error *ret_reason)
{
    int64_t refused = number(json_object_get(result, "refused"), "count");
    int64_t orders = refused + number(result, "copied");
    error_set(ret_reason,
              "Elasticsearch refuses %" PRId64 " of %" PRId64 " orders: does the mapping, such as "
              "that of ORDER_INDEX_SETTINGS_FILE, fit?",
              refused, orders);
    return refused - dead > orders / 100;
}
