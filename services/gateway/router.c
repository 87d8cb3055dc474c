/* The table of routes. A request passes the checks that hold for all routes (its head, path,
 * method, size, and the load), then the route's handler takes it. */
#include "services/gateway/router.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/problem.h"
#include "services/gateway/route_metrics.h"
#include "services/gateway/routes/routes.h"
#include "services/http/http_server.h"
#include <string.h>

#define READ "GET, HEAD"
#define WRITE "POST"
#define ORDER_MAX_BYTES (64 * 1024)
#define BULK_MAX_BYTES (1024 * 1024)
#define STATUSES(...) ((const int[]){__VA_ARGS__, 204, 400, 405, 413, 414, 415, 431, 503, 0})

enum access {
    LIMITED,    /* refused under overload */
    ALWAYS,     /* answered even then */
    INTERNAL,   /* as ALWAYS; in public only where API_METRICS says so */
    ADMIN,      /* as LIMITED; for operators; in public unless API_ADMIN says no */
    ADMIN_OPEN, /* as ADMIN; for everybody where ADMIN_AUTH says so */
};

static const struct route {
    const char *name; /* in metrics */
    const char *path; /* exact, but for one segment "{}" */
    const char *methods;
    size_t body_max_bytes;
    enum access access;
    void (*handle)(struct request *request, h2o_iovec_t rest);
    const int *statuses; /* that it answers with, as do the checks below */
} routes[] = {
    {"index", "/", READ, ORDER_MAX_BYTES, ALWAYS, show_index, STATUSES(200, 304)},
    {"post_order", "/api/orders", WRITE, ORDER_MAX_BYTES, LIMITED, post_order,
     STATUSES(201, 202, 422)},
    {"get_order", "/api/orders/{}", READ, ORDER_MAX_BYTES, LIMITED, get_order,
     STATUSES(200, 404, 409, 500)},
    {"order_status", "/api/orders/{}/status", READ, ORDER_MAX_BYTES, LIMITED, order_status,
     STATUSES(200, 404)},
    {"search", "/api/search", READ, ORDER_MAX_BYTES, LIMITED, search_orders,
     STATUSES(200, 502, 504)},
    {"sales", "/api/dashboard/sales", READ, ORDER_MAX_BYTES, LIMITED, read_sales,
     STATUSES(200, 500, 501)},
    {"refresh", "/api/admin/refresh", WRITE, ORDER_MAX_BYTES, ADMIN_OPEN, refresh_sales,
     STATUSES(200, 401, 403, 500, 504)},
    {"list_dead_letters", "/api/admin/dead-letters", READ, ORDER_MAX_BYTES, ADMIN,
     list_dead_letters, STATUSES(200, 401, 403, 500)},
    {"replay_dead_letters", "/api/admin/dead-letters/replay", WRITE, ORDER_MAX_BYTES, ADMIN,
     replay_dead_letters, STATUSES(200, 202, 401, 403, 409, 500)},
    {"discard_dead_letters", "/api/admin/dead-letters/discard", WRITE, ORDER_MAX_BYTES, ADMIN,
     discard_dead_letters, STATUSES(200, 202, 401, 403, 422, 500)},
    {"show_dead_letter", "/api/admin/dead-letters/{}", READ, ORDER_MAX_BYTES, ADMIN,
     show_dead_letter, STATUSES(200, 401, 403, 404, 500)},
    {"replay_dead_letter", "/api/admin/dead-letters/{}/replay", WRITE, ORDER_MAX_BYTES, ADMIN,
     replay_dead_letter, STATUSES(200, 401, 403, 404, 409, 422, 500)},
    {"discard_dead_letter", "/api/admin/dead-letters/{}/discard", WRITE, ORDER_MAX_BYTES, ADMIN,
     discard_dead_letter, STATUSES(200, 401, 403, 404, 409, 422, 500)},
    {"list_jobs", "/api/admin/jobs", READ, ORDER_MAX_BYTES, ADMIN, list_jobs,
     STATUSES(200, 401, 403, 500)},
    {"begin_index_job", "/api/admin/jobs", WRITE, ORDER_MAX_BYTES, ADMIN, begin_index_job,
     STATUSES(202, 401, 403, 409, 500)},
    {"show_job", "/api/admin/jobs/{}", READ, ORDER_MAX_BYTES, ADMIN, show_job,
     STATUSES(200, 401, 403, 404, 500)},
    {"cancel_job", "/api/admin/jobs/{}/cancel", WRITE, ORDER_MAX_BYTES, ADMIN, cancel_job,
     STATUSES(202, 401, 403, 404, 409, 500)},
    {"admin_status", "/api/admin/status", READ, ORDER_MAX_BYTES, ADMIN, admin_status,
     STATUSES(200, 401, 403)},
    {"bulk_orders", "/api/bulk-orders", WRITE, BULK_MAX_BYTES, LIMITED, bulk_orders,
     STATUSES(201, 422, 500)},
    {"livez", "/livez", READ, ORDER_MAX_BYTES, ALWAYS, health_page, STATUSES(200)},
    {"readyz", "/readyz", READ, ORDER_MAX_BYTES, ALWAYS, health_page, STATUSES(200)},
    {"openapi", "/openapi.json", READ, ORDER_MAX_BYTES, ALWAYS, show_openapi, STATUSES(200)},
    {"metrics", "/metrics", READ, ORDER_MAX_BYTES, INTERNAL, health_page, STATUSES(200)},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))
static const int *const no_route_statuses = STATUSES(404);

/* Of each route, and of what has none. */
static struct route_metrics *metrics_of[ROUTE_COUNT + 1];

void router_register_metrics(void)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        metrics_of[i] = route_metrics(routes[i].name, routes[i].statuses);
    metrics_of[ROUTE_COUNT] = route_metrics("none", no_route_statuses);
}

bool router_describe(size_t index, struct route_description *ret)
{
    if (index >= ROUTE_COUNT)
        return false;
    const struct route *route = &routes[index];
    *ret = (struct route_description){route->name, route->path, route->methods, route->statuses};
    return true;
}

bool router_shows(size_t index, const struct api_settings *settings, bool admin)
{
    switch (routes[index].access) {
    case LIMITED:
    case ALWAYS:
        break;
    case INTERNAL:
        return admin || settings->public_metrics;
    case ADMIN:
    case ADMIN_OPEN:
        return admin || settings->public_admin;
    }
    return true;
}

static bool is_for_operators(const struct route *route)
{
    return route->access == ADMIN || route->access == ADMIN_OPEN;
}

static bool is_limited(const struct route *route)
{
    return route->access == LIMITED || is_for_operators(route);
}

/* Whether this may stand for a route's variable segment. Nothing is decoded or normalised, so a
 * segment that asks for either names nothing. */
static bool is_plain_segment(h2o_iovec_t text)
{
    bool dots = h2o_memis(text.base, text.len, ".", 1) || h2o_memis(text.base, text.len, "..", 2);
    return text.len > 0 && !dots && memchr(text.base, '/', text.len) == NULL &&
           memchr(text.base, '%', text.len) == NULL;
}

/* Whether a path is of this pattern; then *ret_segment is its variable segment, or empty. */
static bool path_is(const char *pattern, h2o_iovec_t path, h2o_iovec_t *ret_segment)
{
    size_t pattern_len = strlen(pattern), before = strcspn(pattern, "{");
    if (before == pattern_len) {
        *ret_segment = h2o_iovec_init(NULL, 0);
        return h2o_memis(path.base, path.len, pattern, pattern_len);
    }
    const char *suffix = pattern + before + strlen("{}");
    size_t after = strlen(suffix);
    if (path.len < before + after || memcmp(path.base, pattern, before) != 0 ||
        memcmp(path.base + path.len - after, suffix, after) != 0)
        return false;
    *ret_segment = h2o_iovec_init(path.base + before, path.len - before - after);
    return is_plain_segment(*ret_segment);
}

static bool method_is(h2o_iovec_t method, const char *name)
{
    return h2o_memis(method.base, method.len, name, strlen(name));
}

static bool method_allowed(const struct route *route, h2o_iovec_t method)
{
    if (route->methods[0] == 'P')
        return method_is(method, "POST");
    return method_is(method, "GET") || method_is(method, "HEAD");
}

static bool same_path(size_t index, size_t other)
{
    return other < ROUTE_COUNT && strcmp(routes[index].path, routes[other].path) == 0;
}

/* The index of the route, or ROUTE_COUNT. The first path that fits is the one. Of the rows of this
 * path, which stand together, it is the one with the method, or the last. */
static size_t find_route(const struct router *router, const h2o_req_t *req, h2o_iovec_t path,
                         h2o_iovec_t *ret_rest)
{
    size_t i = 0;
    while (i < ROUTE_COUNT && !(router_shows(i, router->api->settings, router->admin) &&
                                path_is(routes[i].path, path, ret_rest)))
        i++;
    while (i < ROUTE_COUNT && same_path(i, i + 1) && !method_allowed(&routes[i], req->method))
        i++;
    return i;
}

/* The methods of all rows of the route's path; lives as long as the request. */
static const char *methods_of_path(h2o_req_t *req, size_t index)
{
    while (index > 0 && same_path(index, index - 1))
        index--;
    h2o_iovec_t methods = h2o_strdup(&req->pool, routes[index].methods, SIZE_MAX);
    for (; same_path(index, index + 1); index++)
        methods = h2o_concat(
            &req->pool, methods, h2o_iovec_init(H2O_STRLIT(", ")),
            h2o_iovec_init(routes[index + 1].methods, strlen(routes[index + 1].methods)));
    return methods.base;
}

/* Whether a method may be used on some resource of HTTP's usual kind (RFC 9110, 9.1): TRACE,
 * CONNECT and unknown ones are refused wherever they are aimed at. */
static bool method_usual(h2o_iovec_t method)
{
    static const char *const usual[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        if (method_is(method, usual[i]))
            return true;
    return false;
}

/* A coding that no route reads: all of them take the body as it is. */
static bool body_is_coded(const h2o_req_t *req)
{
    ssize_t at = -1;
    while (req->entity.base != NULL &&
           (at = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_ENCODING, at)) != -1) {
        h2o_iovec_t coding = req->headers.entries[at].value;
        if (coding.len > 0 && !h2o_lcstris(coding.base, coding.len, H2O_STRLIT("identity")))
            return true;
    }
    return false;
}

static bool is_preflight(const struct router *router, const h2o_req_t *req)
{
    const struct cors *cors = router->api->settings->cors;
    return cors != NULL && !router->admin && cors_is_preflight(cors, req);
}

/* The problem of a head that is at fault; not for REQUEST_HEAD_FINE. */
static enum problem head_problem(enum request_head_fault fault)
{
    switch (fault) {
    case REQUEST_HEAD_FINE:
    case REQUEST_HEAD_MALFORMED:
        break;
    case REQUEST_HEAD_TOO_LARGE:
        return PROBLEM_HEADERS_TOO_LARGE;
    case REQUEST_HEAD_TARGET_TOO_LONG:
        return PROBLEM_URI_TOO_LONG;
    }
    return PROBLEM_MALFORMED_REQUEST;
}

void router_handle(void *arg, h2o_req_t *req, enum request_head_fault fault)
{
    const struct router *router = arg;
    h2o_iovec_t rest = {NULL, 0};
    size_t index = find_route(router, req, http_request_path(req), &rest);
    struct request *request = request_new(req, router->api, router->admin, metrics_of[index]);

    if (fault != REQUEST_HEAD_FINE) {
        reply_problem(request, head_problem(fault), NULL);
        return;
    }
    const struct route *route = index < ROUTE_COUNT ? &routes[index] : NULL;
    if (route != NULL && is_preflight(router, req)) {
        cors_add_preflight_headers(req, methods_of_path(req, index));
        reply_no_content(request);
    } else if (route == NULL && method_usual(req->method)) {
        reply_problem(request, PROBLEM_NOT_FOUND, NULL);
    } else if (route == NULL || !method_allowed(route, req->method)) {
        reply_header(request, "allow",
                     route != NULL ? methods_of_path(req, index) : READ ", " WRITE);
        reply_problem(request, PROBLEM_METHOD_NOT_ALLOWED, NULL);
    } else if (req->entity.len > route->body_max_bytes) {
        reply_problem(request, PROBLEM_BODY_TOO_LARGE, NULL);
    } else if (body_is_coded(req)) {
        reply_header(request, "accept-encoding", "identity"); /* RFC 9110, 12.5.3 */
        reply_problem(request, PROBLEM_UNSUPPORTED_CONTENT_ENCODING, NULL);
    } else if (is_for_operators(route) && !admin_authorized(request, route->access == ADMIN_OPEN)) {
        /* It is answered. */
    } else if (is_limited(route) && requests_full(&router->api->requests)) {
        reply_problem(request, PROBLEM_OVERLOADED, NULL);
    } else {
        route->handle(request, rest);
    }
}

/* ---- what libh2o answers by itself: a body over its limit, broken chunks, an unknown expectation
 * ---- */

struct problem_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static void send_problem_instead(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs,
                                 size_t count, h2o_send_state_t state)
{
    struct problem_stream *stream = H2O_STRUCT_FROM_MEMBER(struct problem_stream, super, self);
    h2o_ostream_send_next(self, req, &stream->body, count > 0 ? 1 : 0, state);
    (void)bufs;
}

struct problem_filter {
    h2o_filter_t super;
    const struct router *router;
};

static void on_own_answer(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    const struct router *router =
        H2O_STRUCT_FROM_MEMBER(struct problem_filter, super, self)->router;
    enum problem problem = problem_of_status(req->res.status);
    const struct trace_context trace = request_trace(req);
    char *text = problem_render(problem, NULL, &trace.id, NULL);
    h2o_iovec_t body = h2o_strdup(&req->pool, text, SIZE_MAX);
    free(text);

    req->res.reason = http_reason(req->res.status);
    req->res.content_length = body.len;
    req->res.headers.size = 0;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT(PROBLEM_CONTENT_TYPE));
    reply_common_headers(req, router->api, router->admin);

    struct problem_stream *stream = H2O_STRUCT_FROM_MEMBER(
        struct problem_stream, super, h2o_add_ostream(req, sizeof(*stream), slot));
    stream->super.do_send = send_problem_instead;
    stream->body = body;
    h2o_setup_next_ostream(req, &stream->super.next);
}

void router_attach(void *arg, h2o_hostconf_t *host)
{
    /* libh2o's own answers go by the fallback path, which no request for a handler reaches. */
    struct problem_filter *filter = H2O_STRUCT_FROM_MEMBER(
        struct problem_filter, super, h2o_create_filter(&host->fallback_path, sizeof(*filter)));
    filter->super.on_setup_ostream = on_own_answer;
    filter->router = arg;
}
