/* order_search by _search. The dependency's state follows the answers. A probe asks which indices
 * can be searched, so that the state is known without searches, too: it needs what a search needs,
 * the index and the privilege to read it. */
#include "services/gateway/adapters/elasticsearch_search.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/server_error.h"
#include "services/gateway/adapters/search_query.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_INTERVAL_MS 5000
#define PROBE_INTERVAL_DOWN_MS 1000 /* a server that is back is noticed within 2 s */
#define PROBE_TIMEOUT_MS 3000
#define HEAD_MAX_BYTES 65536 /* of an answer, before its hits */

/* What Elasticsearch finds in no index at all. */
static const char nothing_found[] =
    "{\"took\":0,\"timed_out\":false,"
    "\"_shards\":{\"total\":0,\"successful\":0,\"skipped\":0,\"failed\":0},"
    "\"hits\":{\"total\":{\"value\":0,\"relation\":\"eq\"},\"max_score\":0.0,\"hits\":[]}}";

struct elasticsearch_search {
    struct order_search port;
    struct elasticsearch_search_options options;
    struct elasticsearch *client;
    struct loop_timer *probe;
    bool reported_up;
    bool no_gets; /* the index is an alias of several: no document is read by its id */
    char search_path[ELASTICSEARCH_PATH_SIZE], probe_path[ELASTICSEARCH_PATH_SIZE],
        document_path[ELASTICSEARCH_PATH_SIZE];
};

struct operation {
    struct elasticsearch_search *search;
    order_search_done_fn *on_done;
    void *arg;
    char *query;
};

static void operation_free(struct operation *operation)
{
    free(operation->query);
    free(operation);
}

/* ---- what an answer says ---- */

enum reading {
    READING_GOOD,
    READING_NO_INDEX, /* not yet: it has no orders */
    READING_BAD,      /* by the server's fault or by the configuration: it concerns all requests */
    READING_NOTHING,  /* the one request is refused, for its content, its rate or its size */
};

static const char *skip_blanks(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t'))
        text++;
    return text;
}

static bool is_object(const char *body, size_t len)
{
    const char *begin = skip_blanks(body, body + len), *end = body + len;
    while (end > begin && skip_blanks(end - 1, end) == end)
        end--;
    return end - begin >= 2 && *begin == '{' && end[-1] == '}';
}

/* Whether it is an object with an object "hits". Only the head and the ends are read: an answer may
 * have megabytes, and the loop has more to do. */
static bool is_search_answer(const char *body, size_t len)
{
    static const char name[] = "\"hits\"";
    if (!is_object(body, len))
        return false;
    const char *end = body + (len < HEAD_MAX_BYTES ? len : HEAD_MAX_BYTES);
    const char *hits = memmem(body, (size_t)(end - body), name, sizeof name - 1);
    if (hits == NULL)
        return false;
    hits = skip_blanks(hits + sizeof name - 1, end);
    if (hits == end || *hits != ':')
        return false;
    hits = skip_blanks(hits + 1, end);
    return hits < end && *hits == '{';
}

/* The answer to a probe names the indices that have answered. A server may leave out those that
 * cannot, and answer with 200 all the same. */
static bool is_probe_answer(const char *body, size_t len)
{
    static const char some[] = "{\"indices\":[\"";
    return is_object(body, len) && memmem(body, len, some, sizeof some - 1) != NULL;
}

/* `good` says how the body of an answer with status 200 should be. READING_BAD has a reason. */
static enum reading read_answer(long status, enum http_end end, const char *body, size_t len,
                                bool (*good)(const char *body, size_t len), const struct error *err,
                                struct error *reason)
{
    struct server_error said;
    if (status == 0) {
        *reason = *err;
        return end == HTTP_OVER_BUDGET ? READING_NOTHING : READING_BAD;
    }
    if (status == 200 && good(body, len))
        return READING_GOOD;
    server_error_parse(body, len, &said);
    server_error_name_privilege(&said, status, "read");
    if (status == 404 && server_error_is(&said, "index_not_found_exception"))
        return READING_NO_INDEX;
    if (status == 200)
        error_set(reason, "what it answers is not the answer to a search");
    else
        error_set(reason, "it answers with status %ld: %s", status, said.words.message);
    return status == 400 || status == 429 ? READING_NOTHING : READING_BAD;
}

static void probe_later(struct elasticsearch_search *search)
{
    loop_timer_start(search->probe,
                     search->reported_up ? PROBE_INTERVAL_MS : PROBE_INTERVAL_DOWN_MS);
}

static void report(struct elasticsearch_search *search, enum reading reading,
                   const struct error *reason)
{
    bool up = reading == READING_GOOD || reading == READING_NO_INDEX;
    if (reading == READING_NOTHING || (up && search->reported_up))
        return;
    bool lost = search->reported_up && !up;
    search->reported_up = up;
    if (lost && loop_timer_running(search->probe)) /* else a probe is under way */
        probe_later(search);
    search->options.on_state(search->options.arg, up, up ? NULL : reason->message);
}

/* ---- searching ---- */

static enum order_search_status status_of(enum http_end end)
{
    switch (end) {
    case HTTP_ANSWERED: /* an error */
    case HTTP_FAILED:
    case HTTP_TOO_LONG:
        return ORDER_SEARCH_FAILED;
    case HTTP_TIMED_OUT:
        return ORDER_SEARCH_TIMEOUT;
    case HTTP_OVER_BUDGET:
        return ORDER_SEARCH_NO_ROOM;
    }
    return ORDER_SEARCH_FAILED;
}

static void release_answer(void *owner)
{
    answer_body_free(owner);
}

static void on_found(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                     const struct error *err)
{
    struct operation *operation = arg;
    struct elasticsearch_search *search = operation->search;
    order_search_done_fn *on_done = operation->on_done;
    void *done_arg = operation->arg;
    operation_free(operation);
    struct error reason;
    enum reading reading = read_answer(status, end, body, body_len, is_search_answer, err, &reason);
    report(search, reading, &reason);
    struct order_search_answer answer = {.release = release_answer};
    switch (reading) {
    case READING_GOOD:
        answer.body = body;
        answer.body_len = body_len;
        answer.owner = elasticsearch_take_body(search->client);
        on_done(done_arg, ORDER_SEARCH_OK, &answer);
        return;
    case READING_NO_INDEX:
        answer.body = nothing_found;
        answer.body_len = sizeof nothing_found - 1;
        on_done(done_arg, ORDER_SEARCH_OK, &answer);
        return;
    case READING_BAD:
    case READING_NOTHING:
        on_done(done_arg, status_of(end), NULL);
        return;
    }
}

static int search_orders(void *self, const char *term, size_t term_len, unsigned size,
                         unsigned from, order_search_done_fn *on_done, void *arg)
{
    struct elasticsearch_search *search = self;
    struct operation *operation = memory_new(sizeof(*operation));
    size_t query_len;
    *operation = (struct operation){search, on_done, arg,
                                    search_query_new(term, term_len, size, from, &query_len)};
    int rc = elasticsearch_request(search->client, "POST", search->search_path, "application/json",
                                   operation->query, query_len, true, ORDER_SEARCH_TIMEOUT_MS,
                                   on_found, operation);
    if (rc != 0)
        operation_free(operation);
    return rc;
}

/* ---- one order ---- */

struct question {
    struct elasticsearch_search *search;
    struct order_id id;
    bool by_search;
    order_document_fn *on_done;
    void *arg;
};

static int ask(struct question *question);

static enum order_document read_document(long status, const char *body, size_t len)
{
    struct server_error said;
    json_t *answer = status == 200 || status == 404 ? json_loadb(body, len, 0, NULL) : NULL;
    json_t *found = json_object_get(answer, "found");
    enum order_document document = ORDER_DOCUMENT_UNKNOWN;
    if (status == 200 && json_is_true(found))
        document = ORDER_DOCUMENT_FOUND;
    else if (status == 404 && json_is_false(found))
        document = ORDER_DOCUMENT_ABSENT;
    json_decref(answer);
    if (status == 404) {
        server_error_parse(body, len, &said);
        if (server_error_is(&said, "index_not_found_exception"))
            document = ORDER_DOCUMENT_ABSENT; /* not yet: it has no orders */
    }
    return document;
}

static enum order_document read_count(long status, const char *body, size_t len)
{
    json_t *answer = status == 200 ? json_loadb(body, len, 0, NULL) : NULL;
    json_t *total = json_object_get(json_object_get(answer, "hits"), "total");
    json_t *value = json_object_get(total, "value");
    enum order_document document = !json_is_integer(value)         ? ORDER_DOCUMENT_UNKNOWN
                                   : json_integer_value(value) > 0 ? ORDER_DOCUMENT_FOUND
                                                                   : ORDER_DOCUMENT_ABSENT;
    json_decref(answer);
    return document;
}

/* One that takes longer than its second says nothing about the dependency: searches have more time,
 * and the probe tells. */
static void on_document(void *arg, long status, enum http_end end, const char *body,
                        size_t body_len, const struct error *err)
{
    (void)end, (void)err;
    struct question *question = arg;
    enum order_document document = question->by_search ? read_count(status, body, body_len)
                                                       : read_document(status, body, body_len);
    if (status == 400 && !question->by_search) {
        question->search->no_gets = true;
        if (ask(question) == 0)
            return;
    }
    question->on_done(question->arg, document);
    free(question);
}

/* A real-time GET would find what is not refreshed yet, which no search does. */
static int ask(struct question *question)
{
    struct elasticsearch_search *search = question->search;
    char id[ORDER_ID_TEXT_LEN + 1], path[ELASTICSEARCH_PATH_SIZE + 128], query[128];
    order_id_format(&question->id, id);
    question->by_search = search->no_gets;
    if (!question->by_search) {
        (void)snprintf(path, sizeof path, "%s/%s?realtime=false&_source=false&filter_path=found",
                       search->document_path, id); /* it fits */
        return elasticsearch_request(search->client, "GET", path, NULL, NULL, 0, false,
                                     ORDER_DOCUMENT_TIMEOUT_MS, on_document, question);
    }
    int len = snprintf(query, sizeof query,
                       "{\"size\":0,\"query\":{\"ids\":{\"values\":[\"%s\"]}}}", id); /* it fits */
    return elasticsearch_request(search->client, "POST", search->search_path, "application/json",
                                 query, (size_t)len, false, ORDER_DOCUMENT_TIMEOUT_MS, on_document,
                                 question);
}

static int has_document(void *self, const struct order_id *id, order_document_fn *on_done,
                        void *arg)
{
    struct question *question = memory_new(sizeof *question);
    *question = (struct question){.search = self, .id = *id, .on_done = on_done, .arg = arg};
    int rc = ask(question);
    if (rc != 0)
        free(question);
    return rc;
}

/* ---- the probe ---- */

/* No request is refused for the probe's content: what is wrong concerns all. */
static enum reading read_probe(long status, enum http_end end, const char *body, size_t len,
                               const struct error *err, struct error *reason)
{
    enum reading reading = read_answer(status, end, body, len, is_probe_answer, err, reason);
    if (reading == READING_BAD && status == 200 && is_object(body, len))
        error_set(reason, "no shard of the index answers");
    return status == 400 ? READING_BAD : reading;
}

static void on_probed(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                      const struct error *err)
{
    struct elasticsearch_search *search = arg;
    struct error reason;
    report(search, read_probe(status, end, body, body_len, err, &reason), &reason);
    probe_later(search);
}

static void on_probe(void *arg)
{
    struct elasticsearch_search *search = arg;
    if (elasticsearch_request(search->client, "GET", search->probe_path, NULL, NULL, 0, false,
                              PROBE_TIMEOUT_MS, on_probed, search) != 0)
        probe_later(search);
}

int elasticsearch_search_reach(const struct elasticsearch_options *server, const char *index,
                               struct error *err)
{
    char path[ELASTICSEARCH_PATH_SIZE];
    elasticsearch_probe_path(path, index);
    struct answer_body *body = NULL;
    long status = elasticsearch_get(server, path, &body, err);
    if (status == 0)
        return -1;
    enum reading reading = read_probe(status, HTTP_ANSWERED, body->bytes, body->len, NULL, err);
    answer_body_free(body);
    return reading == READING_GOOD || reading == READING_NO_INDEX ? 0 : -1;
}

/* ---- life ---- */

struct order_search *elasticsearch_search_new(struct event_loop *loop,
                                              const struct elasticsearch_search_options *options)
{
    struct elasticsearch_search *search = memory_new(sizeof(*search));
    search->port = (struct order_search){
        .self = search, .search = search_orders, .has_document = has_document};
    search->options = *options;
    /* An answer without the hits of a shard that failed would look like a whole one. */
    (void)snprintf(search->search_path, sizeof(search->search_path),
                   "/%s/_search?allow_partial_search_results=false", options->index); /* it fits */
    elasticsearch_probe_path(search->probe_path, options->index);
    (void)snprintf(search->document_path, sizeof(search->document_path), "/%s/_doc",
                   options->index); /* it fits */
    search->client = elasticsearch_new(loop, &options->client);
    search->probe = event_loop_timer(loop, on_probe, search);
    loop_timer_start(search->probe, 0);
    return &search->port;
}

void elasticsearch_search_free(struct order_search *port)
{
    if (port == NULL)
        return;
    struct elasticsearch_search *search = port->self;
    loop_timer_free(search->probe);
    elasticsearch_free(search->client);
    free(search);
}
