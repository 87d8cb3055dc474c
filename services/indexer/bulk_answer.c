/* The verdicts on a part that was sent by _bulk. The answer's "errors": false would not do: only
 * the status of an item says that its order is stored. */
#include "services/indexer/bulk_answer.h"
#include "services/clients/elasticsearch/server_error.h"
#include <stdio.h>
#include <string.h>

/* The refusals that are about the document itself. Any other one may end by a change of the server
 * or of the index: an alias without a write index and a pipeline that does not exist are an
 * illegal_argument_exception with status 400, too. */
static const char *const document_refusals[] = {
    "mapper_parsing_exception",   /* Elasticsearch 7, OpenSearch */
    "document_parsing_exception", /* Elasticsearch 8 and 9 */
};

/* An item is {"index": {"_id": "…", "status": 201}}. */
static json_int_t item_status(const json_t *item)
{
    return json_integer_value(json_object_get(json_object_get(item, "index"), "status"));
}

/* Whether the item tells what became of this order. */
static bool is_of(const json_t *item, const struct order *order)
{
    char id[ORDER_ID_TEXT_LEN + 1];
    order_id_format(&order->id, id);
    const json_t *said = json_object_get(json_object_get(item, "index"), "_id");
    json_int_t status = item_status(item);
    return json_string_length(said) == ORDER_ID_TEXT_LEN &&
           memcmp(json_string_value(said), id, ORDER_ID_TEXT_LEN) == 0 && status >= 100 &&
           status <= 599;
}

/* _bulk creates an index that has just been deleted. */
static void name_privilege(struct server_error *error, long status)
{
    bool creates = strstr(error->words.message, "[indices:admin/auto_create]") != NULL;
    server_error_name_privilege(error, status, creates ? "create_index" : "write");
}

static bool is_about_the_document(json_int_t status, const struct server_error *error)
{
    for (size_t i = 0; i < sizeof document_refusals / sizeof document_refusals[0]; i++)
        if (server_error_is(error, document_refusals[i]))
            return status == 400;
    return false;
}

static void judge_item(const json_t *item, struct verdict *verdict)
{
    json_int_t status = item_status(item);
    if ((status >= 200 && status <= 299) || status == 409) {
        verdict_done(verdict, 0);
        return;
    }
    struct server_error error;
    server_error_read(json_object_get(json_object_get(item, "index"), "error"), &error);
    name_privilege(&error, (long)status);
    char code[VERDICT_CODE_SIZE];
    (void)snprintf(code, sizeof code, "bulk_%d", (int)status); /* it fits */
    verdict_fail(verdict, is_about_the_document(status, &error) ? OUTCOME_REJECT : OUTCOME_RETRY,
                 code, error.words.message);
}

static bool take(const char **at, const char *end, const char *text, size_t len)
{
    if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

#define TAKE(text) take(&at, end, text, sizeof(text) - 1)

/* Whether it is the usual answer: every order is stored. Compared with what Elasticsearch writes
 * then, byte by byte; to read it as JSON takes 70 times as long. */
static bool all_stored(const struct batch *batch, const char *body, size_t len_bytes)
{
    const char *at = body, *end = body + len_bytes;
    bool usual = TAKE("{\"items\":[");
    for (size_t i = 0; usual && i < batch->part.count; i++) {
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&batch->orders[batch->part.first + i]->id, id);
        usual = (i == 0 || TAKE(",")) && TAKE("{\"index\":{\"_id\":\"") &&
                take(&at, end, id, ORDER_ID_TEXT_LEN) && TAKE("\",\"status\":20") &&
                (TAKE("1") || TAKE("0")) && TAKE("}}");
    }
    return usual && TAKE("]}") && at == end;
}

static void judge_all_stored(struct batch *batch)
{
    for (size_t i = 0; i < batch->part.count; i++)
        verdict_done(&batch->verdicts[batch->part.first + i], 0);
    batch->store_works = true;
}

static void give_up(struct batch *batch, const char *code, const char *detail)
{
    batch_failed(batch, code, detail);
    batch_give_up(batch);
}

/* No order is done unless each order has a status: an answer that is wrong about one order is
 * believed about none. */
static void judge_items(struct batch *batch, const char *body, size_t len_bytes)
{
    size_t count = batch->part.count;
    json_error_t where;
    struct error err;
    json_t *answer = json_loadb(body, len_bytes, JSON_ALLOW_NUL, &where);
    const json_t *items = json_object_get(answer, "items");
    bool complete = json_is_array(items) && json_array_size(items) == count;
    for (size_t i = 0; complete && i < count; i++)
        complete = is_of(json_array_get(items, i), batch->orders[batch->part.first + i]);
    for (size_t i = 0; complete && i < count; i++) {
        struct verdict *verdict = &batch->verdicts[batch->part.first + i];
        judge_item(json_array_get(items, i), verdict);
        batch->store_works = batch->store_works || verdict->outcome != OUTCOME_RETRY;
    }
    if (!complete) {
        if (answer == NULL)
            error_set(&err, "the answer to _bulk is not JSON: %s", where.text);
        else
            error_set(&err, "the answer to _bulk is not that of the %zu orders sent", count);
        give_up(batch, "elasticsearch_unreadable", err.message);
    }
    json_decref(answer);
}

void bulk_answer_judge(struct batch *batch, long status, const char *body, size_t len_bytes,
                       const struct error *err)
{
    if (status == 200 && all_stored(batch, body, len_bytes)) {
        judge_all_stored(batch);
    } else if (status == 200) {
        judge_items(batch, body, len_bytes);
    } else if (status == 0) {
        give_up(batch, "elasticsearch_unavailable", err->message);
    } else if (status == 413 && batch->part.count > 1) {
        batch_cut(batch, 2);
    } else {
        struct server_error error;
        server_error_parse(body, len_bytes, &error);
        name_privilege(&error, status);
        char code[VERDICT_CODE_SIZE];
        (void)snprintf(code, sizeof code, "elasticsearch_%ld", status); /* it fits */
        if (status != 413) {
            give_up(batch, code, error.words.message);
        } else { /* smaller ones may pass the limit */
            batch_failed(batch, code, error.words.message);
            batch_retry_later(batch);
        }
    }
}
