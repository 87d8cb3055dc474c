/* How questions are asked, and those that are one request. */
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/bulk_items.h"
#include "services/scheduler/index/document_answer.h"
#include "services/scheduler/index/document_question.h"
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS (60 * 1000)
#define PATH_SIZE (ELASTICSEARCH_PATH_SIZE + 300)

/* ---- asking ---- */

void document_ask(struct document_reader *reader, const char *method, const char *path,
                  const char *body, bool once, index_answer_fn *on_answer)
{
    index_requests_send(reader->requests,
                        &(struct index_request){.method = method,
                                                .path = path,
                                                .body = body,
                                                .body_len = body != NULL ? strlen(body) : 0,
                                                .once = once,
                                                .timeout_ms = TIMEOUT_MS,
                                                .privilege = "read"},
                        on_answer, reader);
}

void document_ask_index(struct document_reader *reader, const char *verb_and_query,
                        const char *body, index_answer_fn *on_answer)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/%s/%s", reader->index, verb_and_query); /* it fits */
    document_ask(reader, "POST", path, body, false, on_answer);
}

const struct error *document_failure(long status, const struct server_error *said,
                                     struct error *ret_failure)
{
    if (said == NULL)
        return NULL;
    error_set(ret_failure, "Elasticsearch refuses to be read (status %ld): %s", status,
              said->words.message);
    return ret_failure;
}

/* Without a bound where there is none: a field of the type date_nanos takes no date of the year 1,
 * nor of the year 9999. */
void document_range_write(char text[DOCUMENT_RANGE_SIZE], int64_t from_us, int64_t to_us)
{
    char instant[TIMESTAMP_TEXT_SIZE];
    size_t len = (size_t)snprintf(text, DOCUMENT_RANGE_SIZE, "{\"range\":{\"created_at\":{");
    if (from_us > TIMESTAMP_MIN_US) {
        timestamp_format(from_us, instant);
        len += (size_t)snprintf(text + len, DOCUMENT_RANGE_SIZE - len, "\"gte\":\"%s\",", instant);
    }
    if (to_us < TIMESTAMP_MAX_US) {
        timestamp_format(to_us, instant);
        len += (size_t)snprintf(text + len, DOCUMENT_RANGE_SIZE - len, "\"lt\":\"%s\",", instant);
    }
    (void)snprintf(text + len, DOCUMENT_RANGE_SIZE - len,
                   "\"format\":\"strict_date_optional_time\"}}}");
}

/* ---- refreshing ---- */

static void on_refreshed(void *arg, long status, const char *body, size_t body_len,
                         const struct server_error *said)
{
    (void)body, (void)body_len;
    struct document_reader *reader = arg;
    struct error words;
    if (said != NULL)
        error_set(&words, "Elasticsearch refuses to refresh (status %ld): %s", status,
                  said->words.message);
    reader->on_done.refreshed(reader->arg, said != NULL ? &words : NULL);
}

void document_reader_refresh(struct document_reader *reader, document_refreshed_fn *on_done,
                             void *arg)
{
    char path[PATH_SIZE];
    reader->on_done.refreshed = on_done;
    reader->arg = arg;
    (void)snprintf(path, sizeof path, "/%s/_refresh", reader->index); /* it fits */
    index_requests_send(
        reader->requests,
        &(struct index_request){
            .method = "POST", .path = path, .timeout_ms = TIMEOUT_MS, .privilege = "maintenance"},
        on_refreshed, reader);
}

/* ---- hours ---- */

static void on_hours(void *arg, long status, const char *body, size_t body_len,
                     const struct server_error *said)
{
    struct document_reader *reader = arg;
    struct error words;
    const struct error *failure = document_failure(status, said, &words);
    struct document_hour *hours = memory_new_array(DOCUMENT_HOURS_MAX, sizeof *hours);
    size_t count = 0;
    if (failure == NULL && document_answer_hours(body, body_len, hours, &count, &words) != 0)
        failure = &words;
    reader->on_done.hours(reader->arg, hours, count, count == DOCUMENT_HOURS_MAX, failure);
    free(hours);
}

void document_reader_hours(struct document_reader *reader, int64_t from_us, int64_t to_us,
                           bool sums, document_hours_fn *on_done, void *arg)
{
    static const char verb[] = "_search?" DOCUMENT_SEARCH_WHOLE
                               "&filter_path=timed_out,_shards.failed,aggregations.hours.buckets";
    char range[DOCUMENT_RANGE_SIZE], body[DOCUMENT_RANGE_SIZE + 400];
    reader->on_done.hours = on_done;
    reader->arg = arg;
    document_range_write(range, from_us, to_us);
    _Static_assert(DOCUMENT_HOURS_MAX == 10000, "the size; more buckets are refused");
    (void)snprintf(body, sizeof body,
                   "{\"size\":0,\"track_total_hits\":false,\"query\":%s,\"aggs\":{\"hours\":"
                   "{\"composite\":{\"size\":10000,\"sources\":[{\"hour\":{\"date_histogram\":"
                   "{\"field\":\"created_at\",\"fixed_interval\":\"1h\"}}}]}%s}}}",
                   range, sums ? ",\"aggs\":{\"sum\":{\"sum\":{\"field\":\"amount\"}}}" : "");
    document_ask_index(reader, verb, body, on_hours);
}

static void on_count(void *arg, long status, const char *body, size_t body_len,
                     const struct server_error *said)
{
    struct document_reader *reader = arg;
    struct error words;
    const struct error *failure = document_failure(status, said, &words);
    int64_t documents = 0, undated = 0;
    if (failure == NULL &&
        document_answer_totals(body, body_len, &documents, &undated, &words) != 0)
        failure = &words;
    reader->on_done.count(reader->arg, documents, undated, failure);
}

void document_reader_count(struct document_reader *reader, document_count_fn *on_done, void *arg)
{
    static const char verb[] = "_search?" DOCUMENT_SEARCH_WHOLE
                               "&filter_path=timed_out,_shards.failed,hits.total,aggregations";
    reader->on_done.count = on_done;
    reader->arg = arg;
    document_ask_index(reader, verb,
                       "{\"size\":0,\"track_total_hits\":true,"
                       "\"aggs\":{\"undated\":{\"missing\":{\"field\":\"created_at\"}}}}",
                       on_count);
}

/* ---- deleting ---- */

/* The answer of an item. Returns 0, or -1 with `err` set when it was refused. */
static int read_deletion(const struct bulk_item *item, enum document_deletion *ret_deletion,
                         struct error *err)
{
    if (item->status == 200 || item->status == 404) {
        *ret_deletion = item->status == 200 ? DOCUMENT_DELETED : DOCUMENT_GONE;
    } else if (item->status == 409) {
        bool gone = strstr(item->error.words.message, "no document was found") != NULL;
        *ret_deletion = gone ? DOCUMENT_GONE : DOCUMENT_CHANGED;
    } else if (item->status == 429 || item->status >= 500) {
        *ret_deletion = DOCUMENT_BUSY;
    } else {
        error_set(err, "Elasticsearch refuses to delete a document (status %ld): %s", item->status,
                  item->error.words.message);
        return -1;
    }
    return 0;
}

static void on_deleted(void *arg, long status, const char *body, size_t body_len,
                       const struct server_error *said)
{
    struct document_reader *reader = arg;
    struct error words;
    const struct error *failure = document_failure(status, said, &words);
    size_t count = reader->deletions;
    enum document_deletion *deletions = memory_new_array(count, sizeof *deletions);
    struct bulk_items *items = NULL;
    if (failure == NULL &&
        (items = bulk_items_new("delete", body, body_len, count, &words)) == NULL)
        failure = &words;
    for (size_t i = 0; failure == NULL && i < count; i++) {
        struct bulk_item item;
        bulk_items_get(items, i, &item);
        if (read_deletion(&item, &deletions[i], &words) != 0)
            failure = &words;
    }
    bulk_items_free(items);
    reader->on_done.deletions(reader->arg, failure == NULL ? deletions : NULL, failure);
    free(deletions);
}

void document_reader_delete(struct document_reader *reader, const struct document_place *places,
                            size_t count, document_deletions_fn *on_done, void *arg)
{
    assert(count > 0 && count <= DOCUMENTS_MAX);
    reader->on_done.deletions = on_done;
    reader->arg = arg;
    reader->deletions = count;
    char *body = NULL;
    size_t len;
    FILE *lines = open_memstream(&body, &len);
    for (size_t i = 0; i < count; i++) {
        const struct document_place *place = &places[i];
        json_t *line = json_pack("{s:{s:s, s:s, s:I, s:I}}", "delete", "_index", place->index,
                                 "_id", place->id, "if_seq_no", (json_int_t)place->seq_no,
                                 "if_primary_term", (json_int_t)place->primary_term);
        json_dumpf(line, lines, JSON_COMPACT);
        fputc('\n', lines);
        json_decref(line);
    }
    fclose(lines);
    index_requests_send(reader->requests,
                        &(struct index_request){.method = "POST",
                                                .path = "/_bulk?" BULK_ITEMS_FILTER,
                                                .body = body,
                                                .body_len = len,
                                                .ndjson = true,
                                                .timeout_ms = TIMEOUT_MS,
                                                .privilege = "write"},
                        on_deleted, reader);
    free(body);
}

/* ---- life ---- */

struct document_reader *document_reader_new(struct index_requests *requests, const char *index)
{
    struct document_reader *reader = memory_new(sizeof *reader);
    reader->requests = requests;
    reader->index = memory_copy_text(index);
    return reader;
}

void document_reader_free(struct document_reader *reader)
{
    if (reader == NULL)
        return;
    document_lookup_release(&reader->lookup);
    document_walk_forget(reader);
    free(reader->index);
    free(reader);
}
