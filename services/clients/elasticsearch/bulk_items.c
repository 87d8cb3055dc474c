/* Reads the answer to a _bulk request. The answer's "errors": false would not do: only the status
 * of an item says that its document is stored. */
#include "services/clients/elasticsearch/bulk_items.h"
#include "services/base/memory.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct bulk_items {
    const char *action;
    json_t *answer;
    const json_t *array;
};

/* The refusals that are about the document itself. An alias without a write index and a pipeline
 * that does not exist are an illegal_argument_exception with status 400, too. */
static const char *const document_refusals[] = {
    "mapper_parsing_exception",   /* Elasticsearch 7, OpenSearch */
    "document_parsing_exception", /* Elasticsearch 8 and 9 */
};

static bool take(const char **at, const char *end, const char *text, size_t len)
{
    if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

#define TAKE(text) take(&at, end, text, sizeof(text) - 1)

/* Compared with what Elasticsearch writes then, byte by byte. */
bool bulk_items_all_stored(const struct order *const orders[], size_t count, const char *body,
                           size_t len_bytes)
{
    const char *at = body, *end = body + len_bytes;
    bool usual = TAKE("{\"items\":[");
    for (size_t i = 0; usual && i < count; i++) {
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&orders[i]->id, id);
        usual = (i == 0 || TAKE(",")) && TAKE("{\"index\":{\"_id\":\"") &&
                take(&at, end, id, ORDER_ID_TEXT_LEN) && TAKE("\",\"status\":20") &&
                (TAKE("1") || TAKE("0")) && TAKE("}}");
    }
    return usual && TAKE("]}") && at == end;
}

/* An item is {"index": {"_id": "…", "status": 201}}. */
static const json_t *item_at(const struct bulk_items *items, size_t place)
{
    return json_object_get(json_array_get(items->array, place), items->action);
}

static json_int_t item_status(const json_t *item)
{
    return json_integer_value(json_object_get(item, "status"));
}

static bool is_whole(const json_t *item)
{
    json_int_t status = item_status(item);
    return json_is_string(json_object_get(item, "_id")) && status >= 100 && status <= 599;
}

struct bulk_items *bulk_items_new(const char *action, const char *body, size_t len_bytes,
                                  size_t count, struct error *err)
{
    json_error_t where;
    json_t *answer = json_loadb(body, len_bytes, JSON_ALLOW_NUL, &where);
    struct bulk_items *items = memory_new(sizeof *items);
    *items = (struct bulk_items){action, answer, json_object_get(answer, "items")};
    bool whole = json_array_size(items->array) == count;
    for (size_t i = 0; whole && i < count; i++)
        whole = is_whole(item_at(items, i));
    if (whole)
        return items;
    if (answer == NULL)
        error_set(err, "the answer to _bulk is not JSON: %s", where.text);
    else
        error_set(err, "the answer to _bulk is not that of the %zu documents sent", count);
    bulk_items_free(items);
    return NULL;
}

void bulk_items_free(struct bulk_items *items)
{
    if (items == NULL)
        return;
    json_decref(items->answer);
    free(items);
}

bool bulk_items_are_of(const struct bulk_items *items, const struct order *const orders[])
{
    size_t count = json_array_size(items->array);
    for (size_t i = 0; i < count; i++) {
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&orders[i]->id, id);
        const json_t *said = json_object_get(item_at(items, i), "_id");
        if (json_string_length(said) != ORDER_ID_TEXT_LEN ||
            memcmp(json_string_value(said), id, ORDER_ID_TEXT_LEN) != 0)
            return false;
    }
    return true;
}

static bool is_about_the_document(long status, const struct server_error *error)
{
    for (size_t i = 0; i < sizeof document_refusals / sizeof document_refusals[0]; i++)
        if (server_error_is(error, document_refusals[i]))
            return status == 400;
    return false;
}

void bulk_items_get(const struct bulk_items *items, size_t place, struct bulk_item *ret_item)
{
    const json_t *item = item_at(items, place), *id = json_object_get(item, "_id");
    long status = (long)item_status(item);
    *ret_item = (struct bulk_item){
        .id = json_string_value(id),
        .id_len = json_string_length(id),
        .status = status,
        .stored = (status >= 200 && status <= 299) || status == 409,
    };
    if (status >= 200 && status <= 299)
        return;
    server_error_read(json_object_get(item, "error"), &ret_item->error);
    bulk_items_name_privilege(&ret_item->error, status);
    ret_item->about_the_document = is_about_the_document(status, &ret_item->error);
}

/* _bulk creates an index that has just been deleted. */
void bulk_items_name_privilege(struct server_error *error, long status)
{
    bool creates = strstr(error->words.message, "[indices:admin/auto_create]") != NULL;
    server_error_name_privilege(error, status, creates ? "create_index" : "write");
}
