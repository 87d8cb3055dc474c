/* Serves the admin pages on a thread of its own. */
#include "services/runtime/admin_server.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/http/http_server.h"
#include "services/loop/event_loop_h2o.h"
#include "services/runtime/admin_page.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BODY_MAX_BYTES 1024
#define REQUEST_TIMEOUT_MS 5000
#define KEEPALIVE_MS 75000 /* longer than Prometheus' usual minute */
#define STOP_TIMEOUT_MS 1000
#define ASK_TIMEOUT_MS 2000L

struct admin_server {
    pthread_t thread;
    int stop_fd; /* written by admin_server_free() */
    h2o_loop_t *evloop;
    struct event_loop *loop;
    struct loop_watch *stop_watch;
    struct http_server *http;
    bool stopping;
};

static void reply(h2o_req_t *request, int status, const char *reason, const char *content_type,
                  const char *body, size_t len)
{
    request->res.status = status;
    request->res.reason = reason;
    request->res.content_length = len;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   content_type, strlen(content_type));
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                   H2O_STRLIT("no-store"));
    h2o_add_header_by_str(&request->pool, &request->res.headers,
                          H2O_STRLIT("x-content-type-options"), 0, NULL, H2O_STRLIT("nosniff"));
    h2o_send_inline(request, body, len);
}

static void reply_problem(h2o_req_t *request, int status, const char *reason, const char *code)
{
    char body[128];
    int len = snprintf(body, sizeof(body), "{\"title\":\"%s\",\"status\":%d,\"code\":\"%s\"}\n",
                       reason, status, code);
    reply(request, status, reason, "application/problem+json", body, (size_t)len);
}

static void handle(void *arg, h2o_req_t *request, enum request_head_fault fault)
{
    (void)arg;
    struct admin_page page;
    h2o_iovec_t method = request->method, path = http_request_path(request);
    switch (fault) {
    case REQUEST_HEAD_FINE:
        break;
    case REQUEST_HEAD_MALFORMED:
        reply_problem(request, 400, "Bad Request", "malformed_request");
        return;
    case REQUEST_HEAD_TOO_LARGE:
        reply_problem(request, 431, "Request Header Fields Too Large", "headers_too_large");
        return;
    case REQUEST_HEAD_TARGET_TOO_LONG:
        reply_problem(request, 414, "URI Too Long", "uri_too_long");
        return;
    }
    if (!admin_page_render(path.base, path.len, HEALTH_REASONS, &page)) {
        reply_problem(request, 404, "Not Found", "not_found");
        return;
    }
    if (!h2o_memis(method.base, method.len, H2O_STRLIT("GET")) &&
        !h2o_memis(method.base, method.len, H2O_STRLIT("HEAD"))) {
        h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_ALLOW, NULL,
                       H2O_STRLIT("GET, HEAD"));
        reply_problem(request, 405, "Method Not Allowed", "method_not_allowed");
    } else {
        reply(request, page.status, page.status == 200 ? "OK" : "Service Unavailable",
              page.content_type, page.body, page.len);
    }
    free(page.body);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct admin_server *server = arg;
    loop_watch_want(server->stop_watch, false, false);
    server->stopping = true;
    http_server_drain(server->http, 0);
}

static void turn(struct admin_server *server, int32_t wait_ms)
{
    /* It fails when it was interrupted. */
    (void)h2o_evloop_run(server->evloop, http_server_turn(server->http, wait_ms));
}

static void *run(void *arg)
{
    struct admin_server *server = arg;
    while (!server->stopping)
        turn(server, INT32_MAX);
    int64_t deadline_ms = clock_monotonic_ms() + STOP_TIMEOUT_MS;
    while (!http_server_drained(server->http) && clock_monotonic_ms() < deadline_ms)
        turn(server, 10);
    return NULL;
}

struct admin_server *admin_server_new(const char *address, uint16_t port, struct error *err)
{
    static const struct http_server_options options = {.max_connections =
                                                           ADMIN_SERVER_CONNECTIONS_MAX,
                                                       .ends_slow = true,
                                                       .max_body_bytes = BODY_MAX_BYTES,
                                                       .request_timeout_ms = REQUEST_TIMEOUT_MS,
                                                       .keepalive_ms = KEEPALIVE_MS,
                                                       .handle = handle};
    int listen_fd = http_listen(address, port, false, err);
    if (listen_fd < 0)
        return NULL;
    struct admin_server *server = memory_new(sizeof(*server));
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->evloop = h2o_evloop_create();
    server->loop = event_loop_h2o_new(server->evloop);
    server->stop_watch = event_loop_watch(server->loop, server->stop_fd, on_stop, server);
    loop_watch_want(server->stop_watch, true, false);
    server->http = http_server_new(server->evloop, server->loop, &options);
    http_server_listen(server->http, listen_fd);
    if (server->stop_fd < 0 || pthread_create(&server->thread, NULL, run, server) != 0)
        abort(); /* out of descriptors or memory at the start */
    return server;
}

void admin_server_free(struct admin_server *server)
{
    if (server == NULL)
        return;
    if (eventfd_write(server->stop_fd, 1) != 0 || pthread_join(server->thread, NULL) != 0)
        abort();
    if (http_server_connections(server->http) > 0)
        return; /* libh2o cannot free them; the process ends anyway */
    http_server_free(server->http);
    loop_watch_free(server->stop_watch);
    event_loop_h2o_free(server->loop);
    (void)h2o_evloop_run(server->evloop, 0); /* frees the sockets closed just now */
    h2o_evloop_destroy(server->evloop);
    (void)close(server->stop_fd);
    free(server);
}

static size_t discard(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

static int ask(const char *address, uint16_t port, const char *path, struct error *err)
{
    char url[256];
    long status = 0;
    bool ipv6 = strchr(address, ':') != NULL;
    (void)snprintf(url, sizeof(url), "http://%s%s%s:%u%s", ipv6 ? "[" : "", address,
                   ipv6 ? "]" : "", port, path);
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        abort();
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ASK_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    CURLcode failed = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (failed != CURLE_OK)
        error_set(err, "%s: %s", url, curl_easy_strerror(failed));
    else if (status != 200)
        error_set(err, "%s: status %ld", url, status);
    return failed == CURLE_OK && status == 200 ? 0 : -1;
}

/* "::" may be served to one of the two families only. */
int admin_server_ask(const char *address, uint16_t port, const char *path, struct error *err)
{
    bool everywhere = strcmp(address, "::") == 0;
    if (everywhere && ask("::1", port, path, err) == 0)
        return 0;
    bool ipv4 = everywhere || strcmp(address, "0.0.0.0") == 0;
    return ask(ipv4 ? "127.0.0.1" : address, port, path, err);
}
