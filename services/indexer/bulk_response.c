/* "errors": false alone would not do: only an item's own status says that its order is stored. */
#include "services/indexer/bulk_response.h"
#include "services/indexer/server_error.h"
#include <stdio.h>
#include <string.h>

/* An item is {"index": {"status": 201}}. Returns 0 when it is not. */
static json_int_t item_status(const json_t *item)
{
    const json_t *result = json_object_get(item, "index");
    json_int_t status = json_integer_value(json_object_get(result, "status"));
    return status >= 100 && status <= 599 ? status : 0;
}

/* Of the failures with status 400, those of the index: index_closed_exception and the like. */
static bool is_about_the_index(const json_t *error)
{
    const char *type = json_string_value(json_object_get(error, "type"));
    return type && (strncmp(type, "index_", strlen("index_")) == 0 ||
                    strncmp(type, "invalid_index_", strlen("invalid_index_")) == 0);
}

static void judge(const json_t *item, struct verdict *verdict)
{
    json_int_t status = item_status(item);
    if ((status >= 200 && status <= 299) || status == 409) {
        verdict_done(verdict, 0);
        return;
    }
    const json_t *error = json_object_get(json_object_get(item, "index"), "error");
    bool hopeless = status == 400 && !is_about_the_index(error);
    char code[REPLY_CODE_SIZE];
    (void)snprintf(code, sizeof(code), "bulk_%d", (int)status); /* it fits */
    struct error reason;
    server_error_describe(error, &reason);
    verdict_fail(verdict, hopeless ? OUTCOME_REJECT : OUTCOME_RETRY, code, reason.message);
}

int bulk_response_read(const char *body, size_t len_bytes, size_t count, struct verdict verdicts[],
                       struct error *err)
{
    json_error_t where;
    json_t *answer = json_loadb(body, len_bytes, JSON_ALLOW_NUL, &where);
    if (!answer) {
        error_set(err, "the answer to _bulk is not JSON: %s", where.text);
        return -1;
    }
    const json_t *items = json_object_get(answer, "items");
    bool complete = json_is_array(items) && json_array_size(items) == count;
    for (size_t i = 0; complete && i < count; i++)
        complete = item_status(json_array_get(items, i)) != 0;
    if (!complete)
        error_set(err, "the answer to _bulk has not got a status for each of %zu orders", count);
    for (size_t i = 0; complete && i < count; i++)
        judge(json_array_get(items, i), &verdicts[i]);
    json_decref(answer);
    return complete ? 0 : -1;
}
