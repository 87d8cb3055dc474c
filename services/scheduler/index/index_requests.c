/* One request is kept until it has its answer: it is under way, or the timer runs until the next
 * attempt. */
#include "services/scheduler/index/index_requests.h"
#include "services/base/backoff.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS 5000
#define LOG_PERIOD_MS 30000

struct index_requests {
    struct elasticsearch *client;
    struct loop_timer *again;
    struct backoff backoff;
    struct index_request request; /* while there is an on_answer; its own path */
    char *path, *body_copy;
    index_answer_fn *on_answer; /* NULL: none is under way */
    void *arg;
    struct error trouble; /* backoff.failures > 0 */
};

bool index_requests_blocked(const struct server_error *said)
{
    return server_error_is(said, "cluster_block_exception");
}

/* Nothing is wrong with the request: it may succeed later as it is. A block for want of disk space
 * has status 429 too, and stays. */
static bool passes(long status, enum http_end end, const struct server_error *said)
{
    switch (status) {
    case 0:
        return end != HTTP_TOO_LONG;
    case 429:
        return !index_requests_blocked(said);
    case 502:
    case 503:
    case 504:
        return true;
    }
    return false;
}

static void try_later(struct index_requests *requests, long status, const struct error *words)
{
    static struct log_limit limit = {.period_ms = LOG_PERIOD_MS};
    requests->trouble = *words;
    log_warn_limited(&limit, "a job waits for Elasticsearch", log_text("request", requests->path),
                     log_number("status", status), log_text("reason", words->message));
    loop_timer_start(requests->again, backoff_next_ms(&requests->backoff, arc4random()));
}

static void forget(struct index_requests *requests)
{
    requests->on_answer = NULL;
    free(requests->path);
    free(requests->body_copy);
    requests->path = requests->body_copy = NULL;
}

static void on_done(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                    const struct error *err)
{
    struct index_requests *requests = arg;
    struct server_error said = {.type = ""};
    bool good = status >= 200 && status <= 299;
    if (status == 0)
        said.words = *err;
    else if (!good)
        server_error_parse(body, body_len, &said);
    if (!requests->request.once && passes(status, end, &said)) {
        try_later(requests, status, &said.words);
        return;
    }
    if (requests->request.privilege != NULL)
        server_error_name_privilege(&said, status, requests->request.privilege);
    backoff_reset(&requests->backoff);
    index_answer_fn *on_answer = requests->on_answer;
    forget(requests);
    on_answer(requests->arg, status, body, body_len, good ? NULL : &said);
}

static void attempt(void *arg)
{
    struct index_requests *requests = arg;
    const struct index_request *request = &requests->request;
    const char *type = request->ndjson ? "application/x-ndjson" : "application/json";
    int status = elasticsearch_request(
        requests->client, request->method, request->path, request->body != NULL ? type : NULL,
        request->body, request->body_len, true, request->timeout_ms, on_done, requests);
    assert(status == 0); /* none is under way */
    (void)status;
}

void index_requests_send(struct index_requests *requests, const struct index_request *request,
                         index_answer_fn *on_answer, void *arg)
{
    assert(requests->on_answer == NULL);
    requests->request = *request;
    requests->request.path = requests->path = memory_copy_text(request->path);
    if (request->body != NULL && !request->body_kept)
        requests->request.body = requests->body_copy =
            memory_copy(request->body, request->body_len);
    requests->on_answer = on_answer;
    requests->arg = arg;
    attempt(requests);
}

bool index_requests_busy(const struct index_requests *requests)
{
    return requests->on_answer != NULL;
}

const char *index_requests_trouble(const struct index_requests *requests)
{
    return requests->backoff.failures > 0 ? requests->trouble.message : NULL;
}

struct index_requests *index_requests_new(struct event_loop *loop,
                                          const struct elasticsearch_options *server,
                                          size_t max_response_bytes)
{
    struct index_requests *requests = memory_new(sizeof *requests);
    struct elasticsearch_options options = *server;
    options.max_in_flight = 1;
    options.max_response_bytes = max_response_bytes;
    requests->client = elasticsearch_new(loop, &options);
    requests->again = event_loop_timer(loop, attempt, requests);
    requests->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    return requests;
}

void index_requests_free(struct index_requests *requests)
{
    if (requests == NULL)
        return;
    elasticsearch_free(requests->client);
    loop_timer_free(requests->again);
    forget(requests);
    free(requests);
}
