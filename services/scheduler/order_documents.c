/* By _mget, which is real-time: it reads what a refresh of the index has not made searchable yet.
 * An alias of several indexes takes no _mget; from then on orders are looked for by _search. An
 * index that is not there yet has no orders. */
#include "services/scheduler/order_documents.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/server_error.h"
#include "services/scheduler/index/document_answer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_TIMEOUT_MS 3000
#define ANSWER_MAX_BYTES (256 * 1024)
#define GET_BEGIN "{\"ids\":["
#define GET_END "]}"
#define SEARCH_BEGIN "{\"size\":100,\"query\":{\"ids\":{\"values\":["
#define SEARCH_END "]}}}"

struct order_documents {
    struct elasticsearch *client;
    char get_path[ELASTICSEARCH_PATH_SIZE], search_path[ELASTICSEARCH_PATH_SIZE];
    bool by_search;
    struct order orders[ORDER_DOCUMENTS_MAX]; /* of the look under way */
    size_t count;                             /* 0: none is */
    order_documents_fn *on_done;              /* NULL: nobody waits for it */
    void *arg;
};

/* ---- what an answer says ---- */

/* Returns 0, or -1 with `reason` set when Elasticsearch cannot do what is asked. */
static int judge(long status, const char *body, size_t len, const struct error *err,
                 struct error *reason)
{
    struct server_error said;
    if (status == 0) {
        *reason = *err;
        return -1;
    }
    if (status == 200)
        return 0;
    server_error_parse(body, len, &said);
    server_error_name_privilege(&said, status, "read");
    if (status == 404 && server_error_is(&said, "index_not_found_exception"))
        return 0;
    error_set(reason, "it answers with status %ld: %s", status, said.words.message);
    return -1;
}

/* A document says which orders have it: those of its id with its name and amount. */
static void mark_found(const struct order_documents *documents, struct json_span source,
                       bool *found)
{
    struct order document;
    bool good = document_order(source, &document) == 0;
    for (size_t i = 0; good && i < documents->count; i++)
        found[i] |= order_id_equal(&document.id, &documents->orders[i].id) &&
                    order_same_payload(&document, &documents->orders[i]);
}

/* Returns 0, or -1 with `reason` set. */
static int read_documents(struct order_documents *documents, const char *body, size_t len,
                          bool *found, struct error *reason)
{
    struct document_answer *answer = document_answer_new(body, len, reason);
    struct document_item item;
    int status = answer != NULL ? 0 : -1;
    while (status == 0 && document_answer_next(answer, &item)) {
        mark_found(documents, item.source, found);
        if (!item.failed || server_error_is(&item.error, "index_not_found_exception"))
            continue;
        documents->by_search |= server_error_is(&item.error, "illegal_argument_exception");
        error_set(reason, "it refuses to read a document: %s", item.error.words.message);
        status = -1;
    }
    document_answer_free(answer);
    return status;
}

static void warn(const struct error *reason)
{
    static struct log_limit limit;
    log_limited(&limit, LOG_LEVEL_WARN, "no use of Elasticsearch; mass replays wait",
                (const struct log_field[]){log_text("reason", reason->message), {0}});
}

/* ---- looking ---- */

static void on_looked(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                      const struct error *err)
{
    (void)end; /* `err` says it */
    struct order_documents *documents = arg;
    bool found[ORDER_DOCUMENTS_MAX] = {false};
    struct error reason;
    bool was_by_search = documents->by_search;
    bool good = judge(status, body, body_len, err, &reason) == 0;
    if (good && status == 200)
        good = read_documents(documents, body, body_len, found, &reason) == 0;
    if (!good && documents->by_search == was_by_search) /* else the next look is another */
        warn(&reason);
    order_documents_fn *on_done = documents->on_done;
    documents->count = 0;
    documents->on_done = NULL;
    if (on_done != NULL)
        on_done(documents->arg, good ? found : NULL);
}

int order_documents_look(struct order_documents *documents, const struct order *const *orders,
                         size_t count, order_documents_fn *on_done, void *arg)
{
    if (documents->count > 0)
        return -1;
    char body[sizeof SEARCH_BEGIN SEARCH_END + ORDER_DOCUMENTS_MAX * (ORDER_ID_TEXT_LEN + 3)];
    bool search = documents->by_search;
    size_t len = (size_t)sprintf(body, "%s", search ? SEARCH_BEGIN : GET_BEGIN);
    for (size_t i = 0; i < count; i++) {
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&orders[i]->id, id);
        order_copy(&documents->orders[i], orders[i]);
        len += (size_t)sprintf(body + len, "%s\"%s\"", i > 0 ? "," : "", id);
    }
    len += (size_t)sprintf(body + len, "%s", search ? SEARCH_END : GET_END);
    if (elasticsearch_request(
            documents->client, "POST", search ? documents->search_path : documents->get_path,
            "application/json", body, len, false, LOOK_TIMEOUT_MS, on_looked, documents) != 0)
        return -1;
    documents->count = count;
    documents->on_done = on_done;
    documents->arg = arg;
    return 0;
}

void order_documents_forget(struct order_documents *documents)
{
    documents->on_done = NULL;
}

/* ---- --check ---- */

int order_documents_reach(const struct elasticsearch_options *server, const char *index,
                          struct error *err)
{
    char path[ELASTICSEARCH_PATH_SIZE];
    elasticsearch_probe_path(path, index);
    struct answer_body *body = NULL;
    long status = elasticsearch_get(server, path, &body, err);
    if (status == 0)
        return -1;
    int good =
        judge(status, body == NULL ? "" : body->bytes, body == NULL ? 0 : body->len, NULL, err);
    answer_body_free(body);
    return good;
}

/* ---- life ---- */

struct order_documents *order_documents_new(struct event_loop *loop,
                                            const struct elasticsearch_options *server,
                                            const char *index)
{
    struct order_documents *documents = memory_new(sizeof *documents);
    struct elasticsearch_options options = *server;
    options.max_in_flight = 1;
    options.max_response_bytes = ANSWER_MAX_BYTES;
    documents->client = elasticsearch_new(loop, &options);
    (void)snprintf(documents->get_path, ELASTICSEARCH_PATH_SIZE, "/%s/_mget", index); /* they fit */
    (void)snprintf(documents->search_path, ELASTICSEARCH_PATH_SIZE, "/%s/_search", index);
    return documents;
}

void order_documents_free(struct order_documents *documents)
{
    if (documents == NULL)
        return;
    elasticsearch_free(documents->client);
    free(documents);
}
