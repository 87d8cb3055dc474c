/* Documents by their _id: by _mget, in parts where an answer was too long, or by a search where the
 * index is an alias of several ones, which takes no _mget. */
#include "services/base/memory.h"
#include "services/scheduler/index/document_answer.h"
#include "services/scheduler/index/document_question.h"
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids of a search: each may be in many indexes, and 10,000 hits are taken. */
#define BY_SEARCH_MAX 200

static void ask_part(struct document_reader *reader);

void document_lookup_release(struct document_lookup *lookup)
{
    for (size_t i = 0; i < lookup->answer_count; i++)
        document_answer_free(lookup->answers[i]);
    for (size_t i = 0; i < lookup->count; i++)
        free(lookup->ids[i]);
    free(lookup->answers);
    free(lookup->ids);
    free(lookup->documents);
    *lookup = (struct document_lookup){.count = 0};
}

static void end(struct document_reader *reader, const struct error *failure)
{
    struct document_lookup ended = reader->lookup; /* the callback may ask the next question */
    reader->lookup = (struct document_lookup){.count = 0};
    reader->on_done.documents(reader->arg, failure == NULL ? ended.documents : NULL, failure);
    document_lookup_release(&ended);
}

/* Where this id stands in the part that is asked for, of which `expected` is the next place; or
 * NULL. */
static struct document *document_of(const struct document_reader *reader, const char *id,
                                    size_t expected)
{
    const struct document_lookup *lookup = &reader->lookup;
    size_t end = lookup->first + lookup->batch;
    size_t place = reader->by_search ? lookup->first : expected;
    for (; place < end; place++) {
        if (strcmp(lookup->ids[place], id) == 0)
            return &lookup->documents[place];
        if (!reader->by_search)
            break;
    }
    return NULL;
}

static void read_document(const struct document_item *item, struct document *document)
{
    char id[ORDER_ID_TEXT_LEN + 1];
    if (!item->found || document->state == DOCUMENT_ORDER)
        return; /* an order of this id was found in another index */
    document->state = DOCUMENT_OTHER;
    document->index = item->index;
    document->seq_no = item->seq_no;
    document->primary_term = item->primary_term;
    if (document_order(item->source, &document->order) != 0)
        return;
    order_id_format(&document->order.id, id);
    if (strcmp(id, item->id) == 0)
        document->state = DOCUMENT_ORDER;
}

/* Returns 0, or -1 with `err` set when the answer is not about the part that was asked for. */
static int read_part(struct document_reader *reader, struct document_answer *answer,
                     struct error *err)
{
    const struct document_lookup *lookup = &reader->lookup;
    struct document_item item;
    size_t place = lookup->first;
    while (document_answer_next(answer, &item)) {
        struct document *document = document_of(reader, item.id, place++);
        if (item.failed) {
            error_set(err, "Elasticsearch refuses to read a document: %s",
                      item.error.words.message);
            reader->by_search |= server_error_is(&item.error, "illegal_argument_exception");
            return -1;
        }
        if (document == NULL) {
            error_set(err, "its answer tells of a document that was not asked for");
            return -1;
        }
        read_document(&item, document);
    }
    if (reader->by_search || place == lookup->first + lookup->batch)
        return 0;
    error_set(err, "its answer does not tell of all documents that were asked for");
    return -1;
}

/* The same, and keeps the answer. */
static int take_part(struct document_reader *reader, const char *body, size_t body_len,
                     struct error *err)
{
    struct document_answer *answer = document_answer_new(body, body_len, err);
    if (answer == NULL)
        return -1;
    reader->lookup.answers[reader->lookup.answer_count++] = answer;
    return read_part(reader, answer, err);
}

static void on_part(void *arg, long status, const char *body, size_t body_len,
                    const struct server_error *said)
{
    struct document_reader *reader = arg;
    struct document_lookup *lookup = &reader->lookup;
    bool was_by_search = reader->by_search;
    struct error words;
    const struct error *failure = NULL;
    if (status == 0 && !lookup->without_source) { /* too long: no order is, so one is looked at */
        lookup->without_source = lookup->batch == 1;
        lookup->batch -= lookup->batch / 2;
        ask_part(reader);
        return;
    }
    failure = document_failure(status, said, &words);
    if (failure == NULL && take_part(reader, body, body_len, &words) != 0)
        failure = &words;
    lookup->without_source = false;
    if (reader->by_search != was_by_search) {
        ask_part(reader);
        return;
    }
    lookup->first += lookup->batch;
    if (failure == NULL && lookup->first < lookup->count)
        ask_part(reader);
    else
        end(reader, failure);
}

static void ask_part(struct document_reader *reader)
{
    static const char get[] = "_mget?_source=%s&filter_path=docs._id,docs._index,docs.found,"
                              "docs._seq_no,docs._primary_term,docs._source,docs.error";
    static const char search[] = "_search?_source=%s&" DOCUMENT_SEARCH_WHOLE
                                 "&filter_path=timed_out,_shards.failed,hits.hits._id,"
                                 "hits.hits._index,hits.hits._seq_no,hits.hits._primary_term,"
                                 "hits.hits._source";
    char verb[sizeof search + 8];
    struct document_lookup *lookup = &reader->lookup;
    if (reader->by_search && lookup->batch > BY_SEARCH_MAX)
        lookup->batch = BY_SEARCH_MAX;
    if (lookup->batch > lookup->count - lookup->first)
        lookup->batch = lookup->count - lookup->first;
    json_t *ids = json_array();
    for (size_t i = 0; i < lookup->batch; i++)
        json_array_append_new(ids, json_string(lookup->ids[lookup->first + i]));
    json_t *question = reader->by_search
                           ? json_pack("{s:i, s:b, s:{s:{s:o}}}", "size", 10000,
                                       "seq_no_primary_term", 1, "query", "ids", "values", ids)
                           : json_pack("{s:o}", "ids", ids);
    char *body = json_dumps(question, JSON_COMPACT);
    (void)snprintf(verb, sizeof verb, reader->by_search ? search : get,
                   lookup->without_source ? "false" : "true");
    document_ask_index(reader, verb, body, on_part);
    free(body);
    json_decref(question);
}

void document_reader_get(struct document_reader *reader, const char *const *ids, size_t count,
                         documents_fn *on_done, void *arg)
{
    assert(count > 0 && count <= DOCUMENTS_MAX);
    reader->on_done.documents = on_done;
    reader->arg = arg;
    reader->lookup = (struct document_lookup){
        .ids = memory_new_array(count, sizeof *reader->lookup.ids),
        .documents = memory_new_array(count, sizeof *reader->lookup.documents),
        .count = count,
        .batch = count,
        .answers = memory_new_array(count + 1, sizeof *reader->lookup.answers), /* a refusal, too */
    };
    for (size_t i = 0; i < count; i++)
        reader->lookup.ids[i] = memory_copy_text(ids[i]);
    ask_part(reader);
}
