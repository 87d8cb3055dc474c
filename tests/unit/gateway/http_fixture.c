#include "tests/unit/gateway/http_fixture.h"
#include "services/base/memory.h"
#include "services/http/http_server.h"
#include "services/loop/event_loop_h2o.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUESTS_MAX 50

struct http_fixture {
    pthread_t thread;
    h2o_loop_t *loop;
    struct event_loop *events;
    struct http_server *server;
    struct byte_budget bodies;
    struct fakes fakes;
    struct fake_letters letters;
    struct api api;
    struct api_settings settings;
    struct router router;
    uint16_t port;
    atomic_bool stop;
};

static void *run(void *arg)
{
    struct http_fixture *fixture = arg;
    while (!atomic_load(&fixture->stop))
        h2o_evloop_run(fixture->loop, http_server_turn(fixture->server, 10));
    http_server_drain(fixture->server, 0);
    int64_t end_ms = real_time_ms() + PATIENCE_MS;
    while (
        (!http_server_drained(fixture->server) || requests_under_way(&fixture->api.requests) > 0) &&
        real_time_ms() < end_ms) {
        test_clock_advance(500); /* slow answers of the fakes come, too */
        h2o_evloop_run(fixture->loop, http_server_turn(fixture->server, 10));
    }
    return NULL;
}

struct http_fixture *http_fixture_new(unsigned max_connections)
{
    struct http_fixture *fixture = memory_new(sizeof(*fixture));
    fixture->loop = h2o_evloop_create();
    fixture->events = event_loop_h2o_new(fixture->loop);
    fakes_init(&fixture->fakes, fixture->events);
    fake_letters_init(&fixture->letters, &fixture->fakes);
    fixture->settings = (struct api_settings){
        .admin_token = "s3cret", .admin_auth = true, .public_admin = true, .public_metrics = true};
    fixture->api = (struct api){
        .cache = &fixture->fakes.cache,
        .queue = &fixture->fakes.queue,
        .search = &fixture->fakes.search,
        .store = &fixture->fakes.store,
        .reader = &fixture->fakes.reader,
        .waits = &fixture->fakes.waits,
        .sales_refresh = &fixture->fakes.sales_refresh,
        .dead_letters = &fixture->letters.port,
        .job_records = &fixture->letters.jobs_port,
        .status = &fixture->fakes.status,
        .settings = &fixture->settings,
        .metrics = api_metrics(),
    };
    fixture->router.api = &fixture->api;
    fixture->bodies.limit_bytes = 64 * 1024 * 1024;
    router_register_metrics();
    requests_init(&fixture->api.requests, fixture->events, REQUESTS_MAX);
    fixture->server = http_server_new(
        fixture->loop, fixture->events,
        &(struct http_server_options){.max_connections = max_connections,
                                      .max_body_bytes = ROUTER_BODY_READ_MAX_BYTES,
                                      .bodies = &fixture->bodies,
                                      .request_timeout_ms = ROUTER_REQUEST_TIMEOUT_MS,
                                      .keepalive_ms = 75000,
                                      .handle = router_handle,
                                      .attach = router_attach,
                                      .arg = &fixture->router});

    struct error err;
    fixture->port = loopback_free_ports(1);
    int fd = http_listen("127.0.0.1", fixture->port, false, &err);
    assert_int_not_equal(fd, -1);
    http_server_listen(fixture->server, fd);
    assert_int_equal(pthread_create(&fixture->thread, NULL, run, fixture), 0);
    return fixture;
}

void http_fixture_free(struct http_fixture *fixture)
{
    atomic_store(&fixture->stop, true);
    pthread_join(fixture->thread, NULL);
    assert_int_equal(http_server_connections(fixture->server), 0);
    assert_int_equal(requests_under_way(&fixture->api.requests), 0); /* every chain has ended */
    requests_release(&fixture->api.requests);
    http_server_free(fixture->server);
    event_loop_h2o_free(fixture->events);
    h2o_evloop_run(fixture->loop, 0);
    h2o_evloop_destroy(fixture->loop);
    free(fixture);
}

struct fakes *http_fixture_fakes(struct http_fixture *fixture)
{
    return &fixture->fakes;
}

struct fake_letters *http_fixture_letters(struct http_fixture *fixture)
{
    return &fixture->letters;
}

struct api_settings *http_fixture_settings(struct http_fixture *fixture)
{
    return &fixture->settings;
}

struct router *http_fixture_router(struct http_fixture *fixture)
{
    return &fixture->router;
}

int http_connect(struct http_fixture *fixture)
{
    const struct timeval timeout = {30, 0};
    int fd = loopback_connect(fixture->port);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    return fd;
}

ssize_t http_receive(int fd, void *buffer, size_t size)
{
    return TEMP_FAILURE_RETRY(recv(fd, buffer, size, 0));
}

const char *reply_header_value(const struct reply *reply, const char *name)
{
    static char value[512];
    size_t name_len = strlen(name);
    for (const char *line = strstr(reply->text, "\r\n"); line != NULL && line + 2 < reply->body;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_len) == 0 &&
            strncmp(line + 2 + name_len, ": ", 2) == 0) {
            const char *begin = line + 2 + name_len + 2;
            size_t len = (size_t)(strstr(begin, "\r\n") - begin);
            assert_true(len < sizeof(value));
            memcpy(value, begin, len);
            value[len] = '\0';
            return value;
        }
    }
    return NULL;
}

void http_read_reply(int fd, bool head, struct reply *reply)
{
    size_t used = 0, wanted = SIZE_MAX;
    reply->status = 0;
    reply->closed = false;
    reply->body = reply->text;
    reply->body_len = 0;
    while (used < wanted) {
        ssize_t got = http_receive(fd, reply->text + used, REPLY_SIZE - used);
        if (got <= 0) {
            reply->closed = true;
            break;
        }
        used += (size_t)got;
        reply->text[used] = '\0';
        char *end = strstr(reply->text, "\r\n\r\n");
        if (wanted == SIZE_MAX && end != NULL) {
            assert_int_equal(sscanf(reply->text, "HTTP/1.1 %d ", &reply->status), 1);
            reply->body = end + 4;
            const char *length = reply_header_value(reply, "content-length");
            bool has_no_content = reply->status == 204 || reply->status == 304;
            assert_int_equal(length == NULL, has_no_content);
            wanted = (size_t)(reply->body - reply->text) +
                     (head || has_no_content ? 0 : strtoul(length, NULL, 10));
        }
    }
    reply->text[used] = '\0';
    reply->body_len = used - (size_t)(reply->body - reply->text);
    const char *connection = reply_header_value(reply, "connection");
    if (connection != NULL && strcmp(connection, "close") == 0) {
        char byte;
        reply->closed = http_receive(fd, &byte, 1) <= 0;
    }
}

int http_send_raw(struct http_fixture *fixture, const char *request, size_t len)
{
    int fd = http_connect(fixture);
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* it may have been refused before its end */
        sent += (size_t)n;
    }
    return fd;
}

int http_send(struct http_fixture *fixture, const char *method, const char *path,
              const char *headers, const char *body)
{
    size_t body_len = body != NULL ? strlen(body) : 0;
    size_t size = strlen(method) + strlen(path) + strlen(headers) + body_len + 128;
    char *request = memory_new(size);
    int len = snprintf(request, size, "%s %s HTTP/1.1\r\nHost: test\r\n%s", method, path, headers);
    if (body != NULL)
        len += snprintf(request + len, size - (size_t)len, "Content-Length: %zu\r\n", body_len);
    len += snprintf(request + len, size - (size_t)len, "\r\n%s", body != NULL ? body : "");
    int fd = http_send_raw(fixture, request, (size_t)len);
    free(request);
    return fd;
}

void http_exchange(struct http_fixture *fixture, const char *request, size_t len,
                   struct reply *ret_reply)
{
    int fd = http_send_raw(fixture, request, len);
    http_read_reply(fd, strncmp(request, "HEAD ", 5) == 0, ret_reply);
    close(fd);
}

void http_request(struct http_fixture *fixture, const char *method, const char *path,
                  const char *headers, const char *body, struct reply *ret_reply)
{
    int fd = http_send(fixture, method, path, headers, body);
    http_read_reply(fd, strcmp(method, "HEAD") == 0, ret_reply);
    close(fd);
}

void assert_problem(const struct reply *reply, int status, const char *code)
{
    assert_int_equal(reply->status, status);
    assert_string_equal(reply_header_value(reply, "content-type"), "application/problem+json");
    assert_string_equal(reply_header_value(reply, "x-content-type-options"), "nosniff");
    assert_non_null(reply_header_value(reply, "x-request-id"));
    json_t *json = json_loadb(reply->body, reply->body_len, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "code")), code);
    assert_int_equal(json_integer_value(json_object_get(json, "status")), status);
    assert_non_null(json_string_value(json_object_get(json, "title")));
    assert_int_equal(json_string_length(json_object_get(json, "trace_id")), TRACE_ID_TEXT_LEN);
    json_decref(json);
    if (status == 503)
        assert_non_null(reply_header_value(reply, "retry-after"));
}
