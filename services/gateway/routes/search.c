/* GET /api/search?q=TERM[&size=N][&from=N]: the search engine's own answer, unchanged. While the
 * index lacks orders, a header tells their share. */
#include "services/gateway/api.h"
#include "services/gateway/routes/query_string.h"
#include "services/gateway/routes/routes.h"
#include "services/http/request_head.h"
#include <jansson.h>
#include <stdio.h>

#define SIZE_DEFAULT 10
#define SIZE_LARGEST 100

static order_search_done_fn on_found;

static bool is_utf8(const char *text, size_t len)
{
    json_t *string = json_stringn(text, len);
    json_decref(string);
    return string != NULL;
}

void search_orders(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    const h2o_req_t *req = request->req;
    const char *query = "";
    size_t query_len = 0;
    if (req->query_at != SIZE_MAX) {
        query = req->path.base + req->query_at + 1;
        query_len = req->path.len - req->query_at - 1;
    }

    char term[REQUEST_TARGET_MAX_BYTES];
    size_t term_len = 0;
    unsigned size = SIZE_DEFAULT, from = 0;
    if (query_text(query, query_len, "q", term, sizeof(term), &term_len) != QUERY_FOUND ||
        term_len == 0 || !is_utf8(term, term_len)) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "q must be a text that is not empty");
        return;
    }
    if (query_number(query, query_len, "size", 1, SIZE_LARGEST, &size) == QUERY_MALFORMED) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "size must be 1 to 100");
        return;
    }
    if (query_number(query, query_len, "from", 0, ORDER_SEARCH_WINDOW, &from) == QUERY_MALFORMED ||
        from + size > ORDER_SEARCH_WINDOW) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "from + size must be at most 10000");
        return;
    }

    struct request_guard *guard =
        request_guard_new(request, sizeof(*guard), ORDER_SEARCH_TIMEOUT_MS, PROBLEM_SEARCH_TIMEOUT);
    struct order_search *search = request->api->search;
    if (search->search(search->self, term, term_len, size, from, on_found, guard) != 0)
        request_guard_fail(guard, PROBLEM_OVERLOADED);
}

static void tell_what_is_missing(struct request *request)
{
    char share[16];
    if (request == NULL || !request->api->search_incomplete) /* NULL: it was answered before */
        return;
    double missing = request->api->search_missing;
    (void)snprintf(share, sizeof share, "%.4f", missing > 0 && missing < 0.0001 ? 0.0001 : missing);
    reply_header(request, "x-search-incomplete", share);
}

static void on_found(void *arg, enum order_search_status status,
                     const struct order_search_answer *answer)
{
    struct request_guard *guard = arg;
    switch (status) {
    case ORDER_SEARCH_OK:
        reply_header(guard->request, "cache-control", "no-store");
        tell_what_is_missing(guard->request);
        reply_send_kept(guard->request, 200, "application/json", answer->body, answer->body_len,
                        answer->release, answer->owner);
        request_guard_end(guard);
        return;
    case ORDER_SEARCH_FAILED:
        request_guard_fail(guard, PROBLEM_SEARCH_FAILED);
        return;
    case ORDER_SEARCH_TIMEOUT:
        request_guard_fail(guard, PROBLEM_SEARCH_TIMEOUT);
        return;
    case ORDER_SEARCH_NO_ROOM:
        request_guard_fail(guard, PROBLEM_SEARCH_OVERLOADED);
        return;
    }
}
