/* All ids of a range, by a scroll, which any version of Elasticsearch and OpenSearch has. Its next
 * page is asked for once: if the answer is lost, so is the page. It is closed behind the last one.
 */
#include "services/base/memory.h"
#include "services/scheduler/index/document_answer.h"
#include "services/scheduler/index/document_question.h"
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void document_walk_forget(struct document_reader *reader)
{
    free(reader->scroll);
    reader->scroll = NULL;
}

static void end_page(struct document_reader *reader, enum document_page page,
                     const struct error *failure)
{
    document_walk_forget(reader);
    reader->on_done.places(reader->arg, page, NULL, 0, failure);
}

static void on_closed(void *arg, long status, const char *body, size_t body_len,
                      const struct server_error *said)
{
    (void)status, (void)body, (void)body_len, (void)said; /* it ends by itself, too */
    end_page(arg, DOCUMENT_PAGE_LAST, NULL);
}

static void close_walk(struct document_reader *reader)
{
    json_t *question = json_pack("{s:s}", "scroll_id", reader->scroll);
    char *body = json_dumps(question, JSON_COMPACT);
    document_ask(reader, "DELETE", "/_search/scroll", body, true, on_closed);
    free(body);
    json_decref(question);
}

static void read_places(struct document_reader *reader, struct document_answer *answer)
{
    size_t count = 0, most = document_answer_count(answer);
    struct document_place *places = memory_new_array(most, sizeof *places);
    struct document_item item;
    while (count < most && document_answer_next(answer, &item)) {
        struct document_place *place = &places[count++];
        *place = (struct document_place){.id = item.id,
                                         .index = item.index,
                                         .seq_no = item.seq_no,
                                         .primary_term = item.primary_term};
        place->is_order_id = order_id_parse_lower(item.id, strlen(item.id), &place->order_id) == 0;
    }
    reader->on_done.places(reader->arg, DOCUMENT_PAGE, places, count, NULL);
    free(places);
}

static void on_page(void *arg, long status, const char *body, size_t body_len,
                    const struct server_error *said)
{
    struct document_reader *reader = arg;
    struct error words;
    const struct error *failure = document_failure(status, said, &words);
    bool first = reader->scroll == NULL;
    struct document_answer *answer = NULL;
    if (failure == NULL && (answer = document_answer_new(body, body_len, &words)) == NULL)
        failure = &words;
    const char *scroll = answer != NULL ? document_answer_scroll(answer) : NULL;
    if (failure == NULL && scroll == NULL) {
        error_set(&words, "its answer tells of no scroll");
        failure = &words;
    }
    if (failure != NULL) {
        /* Another page than the first is asked for once. Whatever went wrong: the walk is over. */
        end_page(reader, DOCUMENT_PAGE_LOST, first ? failure : NULL);
    } else {
        free(reader->scroll);
        reader->scroll = memory_copy_text(scroll);
        if (document_answer_count(answer) == 0)
            close_walk(reader);
        else
            read_places(reader, answer);
    }
    document_answer_free(answer);
}

#define PAGE_FILTER                                                                                \
    "filter_path=_scroll_id,timed_out,_shards.failed,hits.hits._id,hits.hits._index,"              \
    "hits.hits._seq_no,hits.hits._primary_term"

void document_reader_first_page(struct document_reader *reader, enum document_range range,
                                int64_t from_us, int64_t to_us, document_places_fn *on_done,
                                void *arg)
{
    char query[DOCUMENT_RANGE_SIZE] = "", body[DOCUMENT_RANGE_SIZE + 200];
    reader->on_done.places = on_done;
    reader->arg = arg;
    document_walk_forget(reader);
    switch (range) {
    case DOCUMENTS_ALL:
        (void)snprintf(query, sizeof query, "{\"match_all\":{}}");
        break;
    case DOCUMENTS_DATED:
        document_range_write(query, from_us, to_us);
        break;
    case DOCUMENTS_UNDATED:
        (void)snprintf(query, sizeof query,
                       "{\"bool\":{\"must_not\":{\"exists\":{\"field\":\"created_at\"}}}}");
        break;
    }
    _Static_assert(DOCUMENTS_MAX == 1000 && DOCUMENT_WALK_MINUTES == 5, "size and time");
    (void)snprintf(body, sizeof body,
                   "{\"size\":1000,\"sort\":[\"_doc\"],"
                   "\"seq_no_primary_term\":true,\"_source\":false,\"query\":%s}",
                   query);
    document_ask_index(reader, "_search?scroll=5m&" DOCUMENT_SEARCH_WHOLE "&" PAGE_FILTER, body,
                       on_page);
}

void document_reader_next_page(struct document_reader *reader, document_places_fn *on_done,
                               void *arg)
{
    assert(reader->scroll != NULL);
    reader->on_done.places = on_done;
    reader->arg = arg;
    json_t *question = json_pack("{s:s, s:s}", "scroll", "5m", "scroll_id", reader->scroll);
    char *body = json_dumps(question, JSON_COMPACT);
    document_ask(reader, "POST", "/_search/scroll?" PAGE_FILTER, body, true, on_page);
    free(body);
    json_decref(question);
}
