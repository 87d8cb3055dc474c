/* jansson takes the text first, so that its members can be found as they were written: an amount is
 * read by its own digits, and an order that this project wrote without the parser. */
#include "services/scheduler/index/document_answer.h"
#include "proto/order_json.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define AMOUNT_DIGITS 15
#define HOUR_US (INT64_C(3600) * 1000000)

struct document_answer {
    json_t *root;
    const json_t *list;    /* in it */
    struct json_span rest; /* of the list, in the text */
    size_t place;
};

static struct json_span member_of(struct json_span object, const char *name)
{
    return object.len > 0 ? json_span_member(object, name) : object;
}

/* A search that asks some shards only finds some documents only. _mget has neither member. */
static bool is_whole(const json_t *root)
{
    const json_t *shards = json_object_get(root, "_shards");
    return !json_is_true(json_object_get(root, "timed_out")) &&
           json_integer_value(json_object_get(shards, "failed")) == 0;
}

static json_t *parse(const char *body, size_t len_bytes, struct error *err)
{
    json_t *root = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL);
    if (json_is_object(root) && is_whole(root))
        return root;
    error_set(err, "%s",
              root == NULL ? "its answer is not JSON" : "its answer does not tell of all shards");
    json_decref(root);
    return NULL;
}

struct document_answer *document_answer_new(const char *body, size_t len_bytes, struct error *err)
{
    json_t *root = parse(body, len_bytes, err);
    if (root == NULL)
        return NULL;
    const struct json_span text = {body, len_bytes};
    const json_t *docs = json_object_get(root, "docs"), *hits = json_object_get(root, "hits");
    struct document_answer *answer = memory_new(sizeof *answer);
    *answer = (struct document_answer){
        .root = root,
        .list = docs != NULL ? docs : json_object_get(hits, "hits"),
        .rest = docs != NULL ? member_of(text, "docs") : member_of(member_of(text, "hits"), "hits"),
    };
    if (json_is_array(answer->list) || (docs == NULL && json_object_get(root, "timed_out") != NULL))
        return answer; /* filter_path leaves out an empty list */
    error_set(err, "its answer tells of no documents");
    document_answer_free(answer);
    return NULL;
}

void document_answer_free(struct document_answer *answer)
{
    if (answer == NULL)
        return;
    json_decref(answer->root);
    free(answer);
}

const char *document_answer_scroll(const struct document_answer *answer)
{
    return json_string_value(json_object_get(answer->root, "_scroll_id"));
}

size_t document_answer_count(const struct document_answer *answer)
{
    return json_array_size(answer->list);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

bool document_answer_next(struct document_answer *answer, struct document_item *ret_item)
{
    const json_t *item = json_array_get(answer->list, answer->place);
    struct json_span text = {"", 0};
    if (item == NULL || !json_span_next(&answer->rest, &text))
        return false;
    const json_t *source = json_object_get(item, "_source"),
                 *found = json_object_get(item, "found"), *error = json_object_get(item, "error");
    answer->place++;
    *ret_item = (struct document_item){
        .id = text_of(item, "_id"),
        .index = text_of(item, "_index"),
        .found = found == NULL || json_is_true(found),
        .seq_no = json_integer_value(json_object_get(item, "_seq_no")),
        .primary_term = json_integer_value(json_object_get(item, "_primary_term")),
        .source =
            json_is_object(source) ? json_span_member(text, "_source") : (struct json_span){"", 0},
        .failed = error != NULL,
    };
    if (error != NULL)
        server_error_read(error, &ret_item->error);
    return true;
}

int document_order(struct json_span source, struct order *ret_order)
{
    struct error why;
    if (source.len == 0)
        return -1;
    if (order_of_row_from_json(source.text, source.len, ret_order, &why) == DECODE_OK)
        return 0;
    json_t *json = json_loadb(source.text, source.len, 0, NULL);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(AMOUNT_DIGITS));
    bool good =
        text != NULL && order_of_row_from_json(text, strlen(text), ret_order, &why) == DECODE_OK;
    free(text);
    json_decref(json);
    return good ? 0 : -1;
}

/* ---- sums ---- */

/* Of what is dated before the year 1 or after 9999: the first hour, or the last one. A double holds
 * them all. */
static int64_t hour_us(double ms)
{
    const int64_t first_us = TIMESTAMP_MIN_US, last_us = TIMESTAMP_MAX_US + 1 - HOUR_US;
    return ms < (double)(first_us / 1000)  ? first_us
           : ms > (double)(last_us / 1000) ? last_us
                                           : (int64_t)ms * 1000;
}

/* A bucket is {"key": {"hour": ms}, "doc_count": n, "sum": {"value": x}}. */
static int read_hour(const json_t *bucket, struct document_hour *ret_hour)
{
    const json_t *ms = json_object_get(json_object_get(bucket, "key"), "hour"),
                 *count = json_object_get(bucket, "doc_count");
    if (!json_is_number(ms) || !json_is_integer(count))
        return -1;
    *ret_hour = (struct document_hour){
        .start_us = hour_us(json_number_value(ms)),
        .documents = json_integer_value(count),
        .sum = json_number_value(json_object_get(json_object_get(bucket, "sum"), "value")),
    };
    return 0;
}

int document_answer_hours(const char *body, size_t len_bytes, struct document_hour *hours,
                          size_t *ret_count, struct error *err)
{
    json_t *root = parse(body, len_bytes, err);
    if (root == NULL)
        return -1;
    const json_t *buckets =
        json_object_get(json_object_get(json_object_get(root, "aggregations"), "hours"), "buckets");
    size_t count = json_array_size(buckets);
    int status = json_is_array(buckets) || json_object_get(root, "timed_out") != NULL ? 0 : -1;
    if (count > DOCUMENT_HOURS_MAX)
        status = -1;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = read_hour(json_array_get(buckets, i), &hours[i]);
    if (status == 0)
        *ret_count = count;
    else
        error_set(err, "its answer tells of no hours");
    json_decref(root);
    return status;
}

int document_answer_totals(const char *body, size_t len_bytes, int64_t *ret_documents,
                           int64_t *ret_undated, struct error *err)
{
    json_t *root = parse(body, len_bytes, err);
    if (root == NULL)
        return -1;
    const json_t *total = json_object_get(json_object_get(json_object_get(root, "hits"), "total"),
                                          "value"),
                 *undated = json_object_get(
                     json_object_get(json_object_get(root, "aggregations"), "undated"),
                     "doc_count");
    int status = json_is_integer(total) && json_is_integer(undated) ? 0 : -1;
    if (status == 0) {
        *ret_documents = json_integer_value(total);
        *ret_undated = json_integer_value(undated);
    } else {
        error_set(err, "its answer tells of no totals");
    }
    json_decref(root);
    return status;
}
