/* The life of a request: its guard and deadline, its headers, its answer. */
#include "services/gateway/request.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/gateway/api.h"
#include "services/gateway/route_metrics.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SWEEP_INTERVAL_MS 100
/* The guard answers only if the operation failed to report its own timeout, which tells more. It
 * answers within 110 % of the operation's time. */
#define GUARD_MARGIN_MS 100

/* ---- deadlines ---- */

/* An answer that its client has still to take. */
struct kept_answer {
    void (*release)(void *owner);
    void *owner;
    h2o_conn_t *connection;
    int64_t deadline_ms;
    h2o_linklist_t link;
};

/* The connections fail to write in the next turn, and end. */
static void end_slow_clients(struct requests *requests, int64_t now_ms)
{
    h2o_linklist_t *node = requests->taking.next; /* the oldest first */
    for (; node != &requests->taking; node = node->next) {
        struct kept_answer *kept = H2O_STRUCT_FROM_MEMBER(struct kept_answer, link, node);
        if (kept->deadline_ms > now_ms)
            return;
        h2o_socket_t *socket = kept->connection->callbacks->get_socket(kept->connection);
        (void)shutdown(h2o_socket_get_fd(socket), SHUT_RDWR); /* fails when it is over anyway */
    }
}

static void answer_late(struct request_guard *guard)
{
    if (guard->answer_late != NULL)
        guard->answer_late(guard);
    else
        reply_problem(guard->request, guard->late, NULL);
}

static void on_sweep(void *arg)
{
    struct requests *requests = arg;
    int64_t now_ms = clock_monotonic_ms();

    /* Answering unlinks the guard, and nothing else: its route's chain goes on. */
    h2o_linklist_t *next, *node = requests->waiting.next;
    for (; node != &requests->waiting; node = next) {
        next = node->next;
        struct request_guard *guard = H2O_STRUCT_FROM_MEMBER(struct request_guard, link, node);
        if (guard->deadline_ms <= now_ms)
            answer_late(guard);
    }
    end_slow_clients(requests, now_ms);
    loop_timer_start(requests->sweep, SWEEP_INTERVAL_MS);
}

void requests_init(struct requests *requests, struct event_loop *loop, unsigned limit)
{
    h2o_linklist_init_anchor(&requests->waiting);
    h2o_linklist_init_anchor(&requests->taking);
    requests->open = requests->apart = 0;
    requests->limit = limit;
    requests->sweep = event_loop_timer(loop, on_sweep, requests);
    loop_timer_start(requests->sweep, SWEEP_INTERVAL_MS);
}

void requests_release(struct requests *requests)
{
    loop_timer_free(requests->sweep);
    requests->sweep = NULL;
}

bool requests_full(const struct requests *requests)
{
    return requests->open >= requests->limit;
}

unsigned requests_under_way(const struct requests *requests)
{
    return requests->open + requests->apart;
}

/* ---- guards ---- */

static void detach_guard(struct request *request)
{
    if (request->guard == NULL)
        return;
    h2o_linklist_unlink(&request->guard->link);
    request->guard->request = NULL;
    request->guard = NULL;
}

void *request_guard_new(struct request *request, size_t size, int64_t timeout_ms, enum problem late)
{
    assert(!request->answered && request->guard == NULL);
    const struct trace_context *trace = &request->trace;
    struct request_guard *guard = memory_new(size + trace->state_len);
    guard->trace = *trace;
    guard->trace.state = memcpy((char *)guard + size, trace->state, trace->state_len);
    guard->request = request;
    guard->requests = &request->api->requests;
    guard->deadline_ms = clock_monotonic_ms() + timeout_ms + GUARD_MARGIN_MS;
    guard->late = late;
    request->guard = guard;
    guard->requests->open++;
    h2o_linklist_insert(&guard->requests->waiting, &guard->link);
    return guard;
}

void request_guard_set_apart(struct request_guard *guard, int64_t ends_ms)
{
    assert(!guard->apart);
    guard->apart = true;
    guard->requests->open--;
    guard->requests->apart++;
    guard->deadline_ms = ends_ms + GUARD_MARGIN_MS;
}

void request_guard_end(struct request_guard *guard)
{
    assert(guard->request == NULL && "the route ended without an answer");
    if (guard->apart)
        guard->requests->apart--;
    else
        guard->requests->open--;
    free(guard);
}

void request_guard_fail(struct request_guard *guard, enum problem problem)
{
    reply_problem(guard->request, problem, NULL);
    request_guard_end(guard);
}

/* ---- requests ---- */

static size_t header_of(const h2o_req_t *req, const char *name, h2o_iovec_t *ret_value)
{
    size_t name_len = strlen(name), count = 0;
    for (size_t i = 0; i < req->headers.size; i++) {
        const h2o_header_t *header = &req->headers.entries[i];
        if (h2o_memis(header->name->base, header->name->len, name, name_len)) {
            *ret_value = header->value;
            count++;
        }
    }
    return count;
}

size_t request_header(const struct request *request, const char *name, h2o_iovec_t *ret_value)
{
    return header_of(request->req, name, ret_value);
}

/* libh2o disposes of the request: its answer has been sent, or its connection is gone. */
static void on_dispose(void *arg)
{
    struct request *request = arg;
    detach_guard(request);
    route_metrics_count(request->metrics, request->answered ? request->req->res.status : 0,
                        clock_monotonic_us() - request->started_us);
}

/* The lines of a header as one (RFC 9110, 5.3), when they are not longer than any tracestate. */
static h2o_iovec_t joined_tracestate(h2o_req_t *req)
{
    char joined[TRACESTATE_MAX_BYTES];
    size_t len = 0, lines = 0;
    h2o_iovec_t line = {NULL, 0};
    for (size_t i = 0; i < req->headers.size; i++) {
        const h2o_header_t *header = &req->headers.entries[i];
        if (!h2o_memis(header->name->base, header->name->len, H2O_STRLIT("tracestate")))
            continue;
        line = header->value;
        if (len + 1 + line.len > sizeof joined)
            return (h2o_iovec_t){NULL, 0};
        if (lines++ > 0)
            joined[len++] = ',';
        memcpy(joined + len, line.base, line.len);
        len += line.len;
    }
    return lines > 1 ? h2o_strdup(&req->pool, joined, len) : line;
}

struct trace_context request_trace(h2o_req_t *req)
{
    static const h2o_iovec_t none = {NULL, 0};
    h2o_iovec_t parent = none;
    /* More than one is none (section 3.2.1 of the recommendation, and RFC 9110, 5.3). */
    if (header_of(req, "traceparent", &parent) != 1)
        return trace_context_begin();
    h2o_iovec_t state = joined_tracestate(req);
    struct trace_context trace = trace_context_read(parent.base, parent.len, state.base, state.len);
    trace_context_take_part(&trace);
    return trace;
}

struct request *request_new(h2o_req_t *req, struct api *api, bool admin,
                            struct route_metrics *metrics)
{
    struct request *request = h2o_mem_alloc_shared(&req->pool, sizeof(*request), on_dispose);
    *request = (struct request){
        .req = req,
        .api = api,
        .metrics = metrics,
        .admin = admin,
        .trace = request_trace(req),
        .started_us = clock_monotonic_us(),
    };
    return request;
}

/* ---- answers ---- */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

void reply_header(struct request *request, const char *name, const char *value)
{
    if (request == NULL || request->answered)
        return;
    h2o_req_t *req = request->req;
    h2o_iovec_t copy = h2o_strdup(&req->pool, value, SIZE_MAX);
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base,
                          copy.len);
}

/* The client's own X-Request-Id when it is harmless, else a new one, unique to this process's run
 * and hard to mistake for another's. */
static h2o_iovec_t request_id(h2o_req_t *req)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("x-request-id"), -1);
    if (at != -1) {
        h2o_iovec_t value = req->headers.entries[at].value;
        static const char harmless[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_.";
        size_t i = 0;
        while (i < value.len && value.base[i] != '\0' && strchr(harmless, value.base[i]) != NULL)
            i++;
        if (i == value.len && value.len > 0 && value.len <= REQUEST_ID_MAX_LEN)
            return value;
    }

    static __thread char prefix[16]; /* random */
    static __thread uint64_t count;
    if (count++ == 0) {
        arc4random_buf(prefix, sizeof(prefix));
        for (size_t i = 0; i < sizeof(prefix); i++)
            prefix[i] = "0123456789abcdef"[prefix[i] & 15];
    }
    char *text = h2o_mem_alloc_pool(&req->pool, 25);
    memcpy(text, prefix, sizeof(prefix));
    for (int i = 0; i < 8; i++)
        text[16 + i] = "0123456789abcdef"[count >> (28 - 4 * i) & 15];
    text[24] = '\0';
    return h2o_iovec_init(text, 24);
}

void reply_common_headers(h2o_req_t *req, const struct api *api, bool admin)
{
    h2o_iovec_t id = request_id(req);
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-content-type-options"), 0,
                          NULL, H2O_STRLIT("nosniff"));
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-request-id"), 0, NULL,
                          id.base, id.len);
    if (api->settings->cors != NULL && !admin)
        cors_add_headers(api->settings->cors, req);
}

/* The head of the answer. `content_type` NULL: it has no content. Returns false when there is
 * nobody to answer. */
static bool begin_answer(struct request *request, int status, const char *content_type,
                         size_t body_len)
{
    if (request == NULL || request->answered)
        return false;
    detach_guard(request);
    request->answered = true;

    h2o_req_t *req = request->req;
    req->res.status = status;
    req->res.reason = http_reason(status);
    req->res.content_length = body_len;
    if (content_type != NULL)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, content_type,
                       strlen(content_type));
    reply_common_headers(req, request->api, request->admin);
    return true;
}

void reply_send(struct request *request, int status, const char *content_type, const char *body,
                size_t body_len)
{
    if (begin_answer(request, status, content_type, body_len))
        h2o_send_inline(request->req, body, body_len);
}

static void reply_empty(struct request *request, int status)
{
    if (begin_answer(request, status, NULL, SIZE_MAX)) /* no Content-Length: RFC 9110, 8.6 */
        h2o_send_inline(request->req, "", 0);
}

void reply_no_content(struct request *request)
{
    reply_empty(request, 204);
}

void reply_not_modified(struct request *request)
{
    reply_empty(request, 304);
}

/* libh2o disposes of the request. */
static void on_taken(void *arg)
{
    struct kept_answer *kept = arg;
    h2o_linklist_unlink(&kept->link);
    kept->release(kept->owner);
}

void reply_send_kept(struct request *request, int status, const char *content_type,
                     const char *body, size_t body_len, void (*release)(void *owner), void *owner)
{
    static h2o_generator_t whole = {NULL, NULL};
    if (!begin_answer(request, status, content_type, body_len)) {
        release(owner);
        return;
    }
    h2o_req_t *req = request->req;
    struct kept_answer *kept = h2o_mem_alloc_shared(&req->pool, sizeof(*kept), on_taken);
    *kept = (struct kept_answer){
        .release = release,
        .owner = owner,
        .connection = req->conn,
        .deadline_ms = clock_monotonic_ms() + REPLY_KEPT_MS,
    };
    h2o_linklist_insert(&request->api->requests.taking, &kept->link);
    h2o_iovec_t bytes = h2o_iovec_init(body, body_len); /* its start is written from here */
    bool head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    h2o_start_response(req, &whole);
    h2o_send(req, &bytes, head ? 0 : 1, H2O_SEND_STATE_FINAL);
}

void reply_problem(struct request *request, enum problem problem, const char *detail)
{
    reply_problem_with(request, problem, detail, NULL);
}

void reply_problem_with(struct request *request, enum problem problem, const char *detail,
                        json_t *more)
{
    if (request == NULL) {
        json_decref(more);
        return;
    }
    int status = problem_status(problem);
    if (status == 503)
        reply_header(request, "retry-after", "1");
    reply_header(request, "cache-control", "no-store");
    char *text = problem_render(problem, detail, &request->trace.id, more);
    json_decref(more);
    reply_send(request, status, PROBLEM_CONTENT_TYPE, text, strlen(text));
    free(text);
}
