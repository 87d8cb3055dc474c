/* The client against a small server that misbehaves on demand. */
#include "services/base/clock.h"
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/elasticsearch/elasticsearch_url.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/certificates.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define IN_FLIGHT_MAX 4
#define RESPONSE_MAX 50000

struct scene {
    struct http_peer *peer;
    struct event_loop *loop;
    struct elasticsearch *client;
    int done; /* callbacks seen */
    long status;
    bool timed_out, over_budget;
    struct byte_budget answers;
    bool takes; /* the bodies */
    struct answer_body *taken[4];
    size_t taken_count;
    char body[4096];
    size_t body_len;
    char error[256];
    int again; /* requests to send from inside the callback */
};

static void send_request(struct scene *scene, const char *method, const char *path,
                         const char *body, int64_t timeout_ms);

static void on_done(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                    const struct error *err)
{
    struct scene *scene = arg;
    scene->done++;
    scene->status = status;
    scene->timed_out = end == HTTP_TIMED_OUT;
    scene->over_budget = end == HTTP_OVER_BUDGET;
    assert_int_equal(end == HTTP_ANSWERED, status != 0);
    scene->body_len = body_len;
    (void)snprintf(scene->body, sizeof(scene->body), "%.*s", (int)body_len, body);
    (void)snprintf(scene->error, sizeof(scene->error), "%s", err != NULL ? err->message : "");
    assert_int_equal(status == 0, err != NULL);
    if (scene->takes && status != 0) {
        struct answer_body *taken = elasticsearch_take_body(scene->client);
        assert_ptr_equal(taken->bytes, body);
        assert_null(elasticsearch_take_body(scene->client));
        scene->taken[scene->taken_count++] = taken;
    }
    if (scene->again-- > 0)
        send_request(scene, "GET", "/status/200", NULL, PATIENCE_MS);
}

static void send_request(struct scene *scene, const char *method, const char *path,
                         const char *body, int64_t timeout_ms)
{
    int before = scene->done;
    assert_int_equal(elasticsearch_request(
                         scene->client, method, path, body != NULL ? "application/json" : NULL,
                         body, body != NULL ? strlen(body) : 0, false, timeout_ms, on_done, scene),
                     0);
    assert_int_equal(scene->done, before); /* never from inside the call */
}

static void run_until(struct scene *scene, int done)
{
    wait_until(scene->done >= done, {
        event_loop_turn(scene->loop, 1);
        test_clock_advance(1);
    });
    assert_int_equal(scene->done, done);
}

static void start(struct scene *scene, const char *credentials, const char *api_key)
{
    char url[128];
    *scene = (struct scene){.peer = http_peer_new()};
    (void)snprintf(url, sizeof(url), "http://%s127.0.0.1:%u", credentials,
                   http_peer_port(scene->peer));
    const struct elasticsearch_options options = {.url = url,
                                                  .api_key = api_key,
                                                  .max_in_flight = IN_FLIGHT_MAX,
                                                  .max_response_bytes = RESPONSE_MAX};
    scene->loop = event_loop_new();
    scene->client = elasticsearch_new(scene->loop, &options);
}

static void finish(struct scene *scene)
{
    elasticsearch_free(scene->client);
    event_loop_free(scene->loop);
    http_peer_free(scene->peer);
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int64_t timeout_ms;
        long status;
        bool timed_out;
        const char *error; /* part of it: the words that all versions of libcurl use */
    } cases[] = {
        {"/status/200", PATIENCE_MS, 200, false, ""},
        {"/status/404", PATIENCE_MS, 404, false, ""},
        {"/status/503", PATIENCE_MS, 503, false, ""},
        {"/status/302", PATIENCE_MS, 302, false, ""},
        {"/silent", 100, 0, true, "time"},
        {"/silent", 0, 0, true, "time"},
        {"/reset", PATIENCE_MS, 0, false, "Recv failure"},
        {"/half", PATIENCE_MS, 0, false, "with 95 bytes"},
        {"/junk", PATIENCE_MS, 0, false, "HTTP/0.9"},
        {"/long", PATIENCE_MS, 0, false, "longer than 50000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        print_message("           %s\n", cases[i].path);
        start(&scene, "", NULL);
        int64_t start_ms = clock_monotonic_ms();
        send_request(&scene, "GET", cases[i].path, NULL, cases[i].timeout_ms);
        run_until(&scene, 1);
        assert_int_equal(scene.status, cases[i].status);
        assert_int_equal(scene.timed_out, cases[i].timed_out);
        if (strstr(scene.error, cases[i].error) == NULL)
            fail_msg("%s: %s", cases[i].path, scene.error);
        assert_true(clock_monotonic_ms() - start_ms < cases[i].timeout_ms + 500);
        /* whatever happened, the next request works */
        send_request(&scene, "GET", "/status/200", NULL, PATIENCE_MS);
        run_until(&scene, 2);
        assert_int_equal(scene.status, 200);
        finish(&scene);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        const char *credentials, *api_key, *method, *body;
        const char *expected[4]; /* parts of the request as received */
        const char *absent[3];
    } cases[] = {
        {"",
         NULL,
         "GET",
         NULL,
         {"GET /echo HTTP/1.1\r\n"},
         {"Authorization", "Expect", "Content-"}},
        {"",
         NULL,
         "GET",
         "{\"a\":1}",
         {"GET /echo ", "Content-Type: application/json\r\n", "Content-Length: 7\r\n",
          "\r\n\r\n{\"a\":1}"},
         {"Expect"}},
        {"", NULL, "POST", "x\n", {"POST /echo ", "\r\n\r\nx\n"}, {"Expect"}},
        {"", NULL, "PUT", "", {"PUT /echo ", "Content-Length: 0\r\n"}, {"Expect"}},
        {"user:p%40ss@", NULL, "GET", NULL, {"Authorization: Basic dXNlcjpwQHNz\r\n"}, {"user"}},
        {"", "a2V5", "GET", NULL, {"Authorization: ApiKey a2V5\r\n"}, {"Basic"}},
        {"user:pass@", "a2V5", "GET", NULL, {"Authorization: ApiKey a2V5\r\n"}, {"Basic"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        start(&scene, cases[i].credentials, cases[i].api_key);
        send_request(&scene, cases[i].method, "/echo", cases[i].body, PATIENCE_MS);
        run_until(&scene, 1);
        assert_int_equal(scene.status, 200);
        for (size_t j = 0; j < 4 && cases[i].expected[j] != NULL; j++) {
            if (strstr(scene.body, cases[i].expected[j]) == NULL)
                fail_msg("%zu: no %s in %s", i, cases[i].expected[j], scene.body);
        }
        for (size_t j = 0; j < 3 && cases[i].absent[j] != NULL; j++)
            assert_null(strstr(scene.body, cases[i].absent[j]));
        finish(&scene);
    }
}

/* A large body goes out in one piece, without waiting for "100 Continue", and is not copied. */
static void test_large_body(void **state)
{
    (void)state;
    struct scene scene;
    static char body[40000];
    memset(body, 'x', sizeof(body));
    start(&scene, "", NULL);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(elasticsearch_request(scene.client, "POST", "/echo", "application/x-ndjson",
                                           body, sizeof(body), true, PATIENCE_MS, on_done, &scene),
                     0);
    run_until(&scene, 1);
    assert_int_equal(scene.status, 200);
    assert_true(scene.body_len > sizeof(body));
    assert_true(clock_monotonic_ms() - start_ms < 900); /* libcurl would wait for a second */
    finish(&scene);
}

static void test_connections(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, "", NULL);
    for (int i = 1; i <= 20; i++) { /* one after another: one connection */
        send_request(&scene, "GET", "/status/200", NULL, PATIENCE_MS);
        run_until(&scene, i);
    }
    assert_int_equal(http_peer_connections(scene.peer), 1);
    scene.again = 20; /* sent by callbacks: still one */
    send_request(&scene, "GET", "/status/200", NULL, PATIENCE_MS);
    run_until(&scene, 41);
    assert_int_equal(http_peer_connections(scene.peer), 1);

    for (int i = 0; i < IN_FLIGHT_MAX; i++) /* at once: up to the cap, then refused */
        send_request(&scene, "POST", "/silent", "x", 200);
    assert_int_equal(elasticsearch_request(scene.client, "GET", "/status/200", NULL, NULL, 0, false,
                                           PATIENCE_MS, on_done, &scene),
                     -1);
    run_until(&scene, 41 + IN_FLIGHT_MAX);
    assert_true(scene.timed_out);
    assert_true(http_peer_connections(scene.peer) <= 1 + IN_FLIGHT_MAX);

    send_request(&scene, "GET", "/close", NULL,
                 PATIENCE_MS); /* the server closes a kept connection */
    run_until(&scene, 42 + IN_FLIGHT_MAX);
    while (http_peer_closed(scene.peer) < http_peer_connections(scene.peer))
        event_loop_turn(scene.loop, 5);
    for (int i = 0; i < 5; i++)
        event_loop_turn(scene.loop, 5);
    send_request(&scene, "POST", "/status/201", "x", PATIENCE_MS);
    run_until(&scene, 43 + IN_FLIGHT_MAX);
    assert_int_equal(scene.status, 201);
    finish(&scene);
}

/* What an answer takes counts from its first byte until the body is freed, by whoever took it. */
static void test_budget(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, "", NULL);
    elasticsearch_free(scene.client);
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_peer_port(scene.peer));
    const struct elasticsearch_options options = {.url = url,
                                                  .max_in_flight = IN_FLIGHT_MAX,
                                                  .max_response_bytes = HTTP_PEER_LONG_BYTES,
                                                  .answers = &scene.answers};
    scene.client = elasticsearch_new(scene.loop, &options);
    scene.answers.limit_bytes = 2 * HTTP_PEER_LONG_BYTES + 1000;

    int sent = 0;
    for (; sent < 5; run_until(&scene, ++sent)) /* freed behind the callback */
        send_request(&scene, "GET", "/long", NULL, PATIENCE_MS);
    assert_int_equal(scene.status, 200);
    assert_int_equal(scene.body_len, HTTP_PEER_LONG_BYTES);
    assert_int_equal(scene.answers.used_bytes, 0);

    scene.takes = true;
    for (int i = 0; i < 2; i++, run_until(&scene, ++sent))
        send_request(&scene, "GET", "/long", NULL, PATIENCE_MS);
    assert_int_equal(scene.answers.used_bytes, 2 * HTTP_PEER_LONG_BYTES);
    send_request(&scene, "GET", "/long", NULL, PATIENCE_MS);
    run_until(&scene, ++sent);
    assert_int_equal(scene.status, 0);
    assert_true(scene.over_budget);
    assert_non_null(strstr(scene.error, "all that they may"));
    assert_int_equal(scene.answers.used_bytes, 2 * HTTP_PEER_LONG_BYTES);
    send_request(&scene, "GET", "/status/200", NULL, PATIENCE_MS); /* a small one has room */
    run_until(&scene, ++sent);
    assert_int_equal(scene.status, 200);

    answer_body_free(scene.taken[0]);
    send_request(&scene, "GET", "/long", NULL, PATIENCE_MS);
    run_until(&scene, ++sent);
    assert_int_equal(scene.status, 200);
    finish(&scene);
    for (size_t i = 1; i < scene.taken_count; i++) /* the client is gone before */
        answer_body_free(scene.taken[i]);
    assert_int_equal(scene.answers.used_bytes, 0);
}

static void test_a_body_counts_as_it_is_allocated(void **state)
{
    (void)state;
    struct byte_budget budget = {.limit_bytes = 1000};
    struct answer_body *known = answer_body_new(&budget), *other = answer_body_new(&budget);
    assert_int_equal(answer_body_append(known, "0123456789", 10, 400), 0);
    assert_int_equal(budget.used_bytes, 400);
    for (int i = 1; i < 40; i++)
        assert_int_equal(answer_body_append(known, "0123456789", 10, 400), 0);
    assert_int_equal(budget.used_bytes, 400);
    assert_int_equal(answer_body_append(known, "0", 1, 400), 0); /* more than was announced */
    assert_int_equal(budget.used_bytes, 802);
    assert_int_equal(known->len, 401);
    assert_memory_equal(known->bytes + 390, "01234567890", 11);
    int appended = 0;
    while (answer_body_append(other, "0123456789", 10, 0) == 0)
        appended++;
    assert_int_equal(appended, 14); /* 20, 60, 140; 300 is too much */
    assert_int_equal(budget.used_bytes, 802 + 140);
    answer_body_free(known);
    answer_body_free(other);
    answer_body_free(NULL);
    assert_int_equal(budget.used_bytes, 0);
}

/* Dropped without a callback, and without a leak. */
static void test_free_with_pending(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, "", NULL);
    send_request(&scene, "POST", "/silent", "x", 5000);
    send_request(&scene, "GET", "/status/200", NULL, 5000);
    for (int i = 0; i < 5; i++)
        event_loop_turn(scene.loop, 5);
    send_request(&scene, "GET", "/silent", NULL, 5000); /* not even begun */
    scene.done = 0;
    finish(&scene);
    assert_int_equal(scene.done, 0);
}

static int unused_port(void)
{
    struct http_peer *peer = http_peer_new();
    int port = http_peer_port(peer);
    http_peer_free(peer);
    return port;
}

static void test_get(void **state)
{
    (void)state;
    struct http_peer *peer = http_peer_new();
    char url[128];
    struct error err;
    struct answer_body *body = NULL;
    struct elasticsearch_options options = {.url = url};
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", http_peer_port(peer));
    assert_int_equal(elasticsearch_get(&options, "/status/404", &body, &err), 404);
    assert_int_equal(body->len, 2);
    assert_memory_equal(body->bytes, "{}", 2);
    answer_body_free(body);
    assert_int_equal(elasticsearch_get(&options, "/nothing", &body, &err), 404);
    assert_int_equal(body->len, 0);
    answer_body_free(body);
    (void)snprintf(url, sizeof(url), "http://canary-user:canary-password@127.0.0.1:%d",
                   unused_port());
    assert_int_equal(elasticsearch_get(&options, "/", &body, &err), 0);
    assert_non_null(strstr(err.message, "connect"));
    assert_null(strstr(err.message, "canary"));
    (void)snprintf(url, sizeof(url),
                   "http://canary-user:canary-password@no-such-host.invalid:9200");
    assert_int_equal(elasticsearch_get(&options, "/", &body, &err), 0);
    assert_null(strstr(err.message, "canary"));
    http_peer_free(peer);
}

/* The peer and its host name are verified. */
static void test_tls(void **state)
{
    (void)state;
    static const struct {
        const char *url_host, *certificate_name;
        bool expired, other_authority, system_authorities;
        const char *error; /* part of it; NULL: the server answers */
    } cases[] = {
        {"127.0.0.1", "IP:127.0.0.1", false, false, false, NULL},
        {"localhost", "DNS:localhost", false, false, false, NULL},
        {"localhost", "DNS:other.example", false, false, false, "localhost"},
        {"127.0.0.1", "DNS:localhost", false, false, false, "127.0.0.1"},
        {"127.0.0.1", "IP:127.0.0.1", true, false, false, "expired"},
        {"127.0.0.1", "IP:127.0.0.1", false, true, false, "certificate"},
        {"127.0.0.1", "IP:127.0.0.1", false, false, true, "certificate"},
    };
    char ca_file[] = "/tmp/test_elasticsearch-XXXXXX", url[128];
    struct error err;
    struct authority *authority = authority_new("one"), *other = authority_new("other");
    assert_int_equal(close(mkstemp(ca_file)), 0);
    authority_write(authority, ca_file);
    struct elasticsearch_options options = {.url = url, .ca_file = ca_file};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SSL_CTX *context = authority_server(cases[i].other_authority ? other : authority,
                                            cases[i].certificate_name, cases[i].expired);
        struct http_peer *peer = http_peer_new_tls(context);
        (void)snprintf(url, sizeof(url), "https://u:canary@%s:%u", cases[i].url_host,
                       http_peer_port(peer));
        options.ca_file = cases[i].system_authorities ? NULL : ca_file;
        struct answer_body *body = NULL;
        err.message[0] = '\0';
        long status = elasticsearch_get(&options, "/status/200", &body, &err);
        answer_body_free(body);
        assert_int_equal(status, cases[i].error == NULL ? 200 : 0);
        if (cases[i].error != NULL && strstr(err.message, cases[i].error) == NULL)
            fail_msg("%zu: %s", i, err.message);
        assert_null(strstr(err.message, "canary"));
        http_peer_free(peer);
        SSL_CTX_free(context);
    }
    struct http_peer *plain = http_peer_new(); /* https:// to a server without TLS */
    options.ca_file = ca_file;
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", http_peer_port(plain));
    struct answer_body *body = NULL;
    assert_int_equal(elasticsearch_get(&options, "/status/200", &body, &err), 0);
    http_peer_free(plain);
    authority_free(authority);
    authority_free(other);
    unlink(ca_file);
}

static void test_url(void **state)
{
    (void)state;
    static const struct {
        const char *text, *base, *user, *password; /* base NULL: refused */
    } cases[] = {
        {"http://elasticsearch:9200", "http://elasticsearch:9200", NULL, NULL},
        {"http://elasticsearch:9200/", "http://elasticsearch:9200", NULL, NULL},
        {"https://h/prefix/", "https://h/prefix", NULL, NULL},
        {"http://[::1]:9200", "http://[::1]:9200", NULL, NULL},
        {"https://u:p@h:1", "https://h:1", "u", "p"},
        {"https://u@h:1", "https://h:1", "u", NULL},
        {"http://u%3A:p%40%2F@h", "http://h", "u:", "p@/"},
        {"", NULL, NULL, NULL},
        {"elasticsearch:9200", NULL, NULL, NULL},
        {"ftp://h", NULL, NULL, NULL},
        {"file:///etc/passwd", NULL, NULL, NULL},
        {"http://", NULL, NULL, NULL},
        {"http://h:99999", NULL, NULL, NULL},
        {"http://h:x", NULL, NULL, NULL},
        {"http://h/?q", NULL, NULL, NULL},
        {"http://h/#f", NULL, NULL, NULL},
        {"http://a b", NULL, NULL, NULL},
        {"http://h\r\nX: y", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct elasticsearch_url url;
        struct error err;
        int parsed = elasticsearch_url_parse(cases[i].text, &url, &err);
        if (parsed != (cases[i].base != NULL ? 0 : -1))
            fail_msg("%s: %d", cases[i].text, parsed);
        if (parsed != 0)
            continue;
        assert_string_equal(url.base, cases[i].base);
        assert_string_equal(url.user != NULL ? url.user : "-",
                            cases[i].user != NULL ? cases[i].user : "-");
        assert_string_equal(url.password != NULL ? url.password : "-",
                            cases[i].password != NULL ? cases[i].password : "-");
        elasticsearch_url_release(&url);
    }
}

static void test_names(void **state)
{
    (void)state;
    static char longest[ELASTICSEARCH_INDEX_MAX_BYTES + 1],
        longer[ELASTICSEARCH_INDEX_MAX_BYTES + 2];
    memset(longest, 'x', sizeof longest - 1);
    memset(longer, 'x', sizeof longer - 1);
    static const struct {
        int (*validate)(const char *, struct error *);
        const char *text;
        int result;
    } cases[] = {
        {elasticsearch_index_validate, "orders", 0},
        {elasticsearch_index_validate, "orders-2026.11_a", 0},
        {elasticsearch_index_validate, longest, 0},
        {elasticsearch_index_validate, longer, -1},
        {elasticsearch_index_validate, "", -1},
        {elasticsearch_index_validate, "Orders", -1},
        {elasticsearch_index_validate, "_all", -1},
        {elasticsearch_index_validate, "a/b", -1},
        {elasticsearch_index_validate, "a,b", -1},
        {elasticsearch_index_validate, "..", -1},
        {elasticsearch_api_key_validate, "VnVhQ2ZHY0JDZGJrU==", 0},
        {elasticsearch_api_key_validate, "a b", -1},
        {elasticsearch_api_key_validate, "a\r\nX: y", -1},
        {elasticsearch_api_key_validate, "\xC3\xA9", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        if (cases[i].validate(cases[i].text, &err) != cases[i].result)
            fail_msg("%s", cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_large_body),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_a_body_counts_as_it_is_allocated),
        cmocka_unit_test(test_free_with_pending),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_names),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
