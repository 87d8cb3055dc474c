/* How a result is shown, and kept in a checkpoint. */
#include "services/scheduler/index/compare_result.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void release_tally(struct compare_tally *tally)
{
    for (size_t i = 0; i < tally->id_count; i++)
        free(tally->ids[i]);
    *tally = (struct compare_tally){.count = 0};
}

void compare_result_release(struct compare_result *result)
{
    release_tally(&result->missing);
    release_tally(&result->extra);
    release_tally(&result->different);
    release_tally(&result->dead_at_index);
    release_tally(&result->refused);
    *result = (struct compare_result){.orders = 0};
}

void compare_tally_add(struct compare_tally *tally, const char *id)
{
    tally->count++;
    if (tally->id_count < COMPARE_IDS_MAX)
        tally->ids[tally->id_count++] = memory_copy_text(id);
}

int64_t compare_tally_left(const struct compare_tally *tally)
{
    return tally->count - tally->mended;
}

int64_t compare_result_differences(const struct compare_result *result)
{
    return compare_tally_left(&result->missing) + compare_tally_left(&result->different) +
           compare_tally_left(&result->dead_at_index);
}

/* ---- JSON ---- */

static json_t *tally_to_json(const struct compare_tally *tally)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < tally->id_count; i++)
        json_array_append_new(ids, json_string(tally->ids[i]));
    return json_pack("{s:I, s:o}", "count", (json_int_t)tally->count, "ids", ids);
}

static json_t *instant_to_json(int64_t us)
{
    char text[TIMESTAMP_TEXT_SIZE];
    if (us == INT64_MIN)
        return json_null();
    timestamp_format(us, text);
    return json_string(text);
}

json_t *compare_result_to_json(const struct compare_result *result)
{
    const struct compare_tally *missing = &result->missing, *extra = &result->extra,
                               *different = &result->different, *dead = &result->dead_at_index;
    return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:b}", "from",
                     instant_to_json(result->from_us), "to", instant_to_json(result->to_us),
                     "orders", (json_int_t)result->orders, "documents",
                     (json_int_t)result->documents, "missing", tally_to_json(missing), "extra",
                     tally_to_json(extra), "different", tally_to_json(different), "dead_at_index",
                     tally_to_json(dead), "refused", tally_to_json(&result->refused), "repaired",
                     (json_int_t)(missing->mended + different->mended + dead->mended), "deleted",
                     (json_int_t)extra->mended, "approximate", result->approximate);
}

json_t *compare_result_save(const struct compare_result *result)
{
    json_t *json = compare_result_to_json(result);
    json_object_set_new(json, "mended",
                        json_pack("{s:I, s:I, s:I, s:I}", "missing",
                                  (json_int_t)result->missing.mended, "extra",
                                  (json_int_t)result->extra.mended, "different",
                                  (json_int_t)result->different.mended, "dead_at_index",
                                  (json_int_t)result->dead_at_index.mended));
    return json;
}

static int read_number(const json_t *json, const char *name, int64_t *ret_number)
{
    const json_t *value = json_object_get(json, name);
    *ret_number = json_integer_value(value);
    return json_is_integer(value) && *ret_number >= 0 ? 0 : -1;
}

static int read_instant(const json_t *json, const char *name, int64_t *ret_us)
{
    const json_t *value = json_object_get(json, name);
    *ret_us = INT64_MIN;
    if (json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return -1;
    return timestamp_parse(json_string_value(value), json_string_length(value), ret_us);
}

static int read_found(const json_t *json, const char *name, struct compare_tally *ret_tally)
{
    const json_t *tally = json_object_get(json, name), *ids = json_object_get(tally, "ids"), *id;
    size_t i;
    json_array_foreach(ids, i, id) if (json_is_string(id))
        compare_tally_add(ret_tally, json_string_value(id));
    return read_number(tally, "count", &ret_tally->count);
}

static int read_tally(const json_t *json, const char *name, struct compare_tally *ret_tally)
{
    return read_found(json, name, ret_tally) == 0 &&
                   read_number(json_object_get(json, "mended"), name, &ret_tally->mended) == 0
               ? 0
               : -1;
}

int compare_result_load(const json_t *json, struct compare_result *ret_result)
{
    struct compare_result result = {.approximate =
                                        json_is_true(json_object_get(json, "approximate"))};
    if (read_instant(json, "from", &result.from_us) == 0 &&
        read_instant(json, "to", &result.to_us) == 0 &&
        read_number(json, "orders", &result.orders) == 0 &&
        read_number(json, "documents", &result.documents) == 0 &&
        read_tally(json, "missing", &result.missing) == 0 &&
        read_tally(json, "extra", &result.extra) == 0 &&
        read_tally(json, "different", &result.different) == 0 &&
        read_tally(json, "dead_at_index", &result.dead_at_index) == 0 &&
        read_found(json, "refused", &result.refused) == 0) {
        *ret_result = result;
        return 0;
    }
    compare_result_release(&result);
    *ret_result = result;
    return -1;
}

/* ---- limits ---- */

bool compare_within_limits(int64_t wrong, int64_t orders)
{
    return wrong <= 1000 || wrong <= orders / 100;
}

void compare_result_fault(const struct compare_result *result, char fault[COMPARE_FAULT_SIZE])
{
    int64_t missing = compare_tally_left(&result->missing),
            different = compare_tally_left(&result->different),
            extra = compare_tally_left(&result->extra);
    size_t len = 0;
    fault[0] = '\0';
    if (!compare_within_limits(result->refused.count, result->orders))
        len = (size_t)snprintf(fault, COMPARE_FAULT_SIZE,
                               "Elasticsearch refuses %" PRId64 " of %" PRId64 " orders, which the "
                               "mapping of the index does not take. Mend "
                               "ORDER_INDEX_SETTINGS_FILE, then: orderctl reindex",
                               result->refused.count, result->orders);
    else if (!compare_within_limits(missing + different, result->orders))
        len = (size_t)snprintf(fault, COMPARE_FAULT_SIZE,
                               "search lacks %" PRId64 " of %" PRId64 " orders and shows %" PRId64
                               " wrongly. Unless somebody wants that: orderctl verify --full "
                               "--repair",
                               missing, result->orders, different);
    if (extra > result->orders / 100)
        snprintf(fault + len, COMPARE_FAULT_SIZE - len,
                 "%ssearch has %" PRId64 " documents without an order. Unless somebody wants them: "
                 "orderctl verify --full --repair --delete-extra",
                 len > 0 ? "; " : "", extra);
}
