/* What the questions of a document_reader have in common. Inside the reader. */
#ifndef SCHEDULER_INDEX_DOCUMENT_QUESTION_H
#define SCHEDULER_INDEX_DOCUMENT_QUESTION_H

#include "services/scheduler/index/document_reader.h"
#include "services/scheduler/index/index_requests.h"

struct document_answer;

/* document_reader_get() */
struct document_lookup {
    char **ids;
    struct document *documents;
    size_t count, first, batch;       /* `batch` ids are asked for, from `first` on */
    bool without_source;              /* one, whose _source makes the answer too long */
    struct document_answer **answers; /* the documents' texts are in them */
    size_t answer_count;
};

struct document_reader {
    struct index_requests *requests;
    char *index;
    union {
        document_refreshed_fn *refreshed;
        document_hours_fn *hours;
        document_count_fn *count;
        documents_fn *documents;
        document_places_fn *places;
        document_deletions_fn *deletions;
    } on_done;
    void *arg;

    bool by_search; /* the index is an alias of several ones */
    struct document_lookup lookup;
    char *scroll;     /* of the walk; NULL: there is none */
    size_t deletions; /* under way */
};

/* A search that only some shards have answered is an error. */
#define DOCUMENT_SEARCH_WHOLE "allow_partial_search_results=false"

/* Ask METHOD PATH with a body of JSON. `once`: as in struct index_request. */
void document_ask(struct document_reader *reader, const char *method, const char *path,
                  const char *body, bool once, index_answer_fn *on_answer);

/* Ask POST /INDEX/VERB?QUERY. */
void document_ask_index(struct document_reader *reader, const char *verb_and_query,
                        const char *body, index_answer_fn *on_answer);

/* Returns *ret_failure with the words of Elasticsearch, or NULL when it has done what was asked. */
const struct error *document_failure(long status, const struct server_error *said,
                                     struct error *ret_failure);

/* Write the query for documents whose created_at is in a range. */
#define DOCUMENT_RANGE_SIZE 200
void document_range_write(char text[DOCUMENT_RANGE_SIZE], int64_t from_us, int64_t to_us);

void document_lookup_release(struct document_lookup *lookup);
void document_walk_forget(struct document_reader *reader);

#endif
