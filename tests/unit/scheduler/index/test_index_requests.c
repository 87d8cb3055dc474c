/* The requests of a job against a small server whose answers the test sets, by the test's clock. */
#include "services/scheduler/index/index_requests.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX 2000
#define REFUSAL(type) "{\"error\":{\"type\":\"" type "\",\"reason\":\"because\"}}"

struct scene {
    struct http_peer *peer;
    struct event_loop *loop;
    struct index_requests *requests;
    atomic_int status, asked; /* 0: no answer */
    const char *body;         /* set while nothing is asked */
    char request[1000];       /* the last one, while no other is asked */
    unsigned answers;
    long said_status;
    char said_body[200], said_words[256];
    bool sends_another;
};

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct scene *scene = arg;
    snprintf(scene->request, sizeof scene->request, "%s", request);
    snprintf(body, size, "%s", scene->body);
    atomic_fetch_add(&scene->asked, 1);
    return atomic_load(&scene->status);
}

static int set_up(void **state)
{
    struct scene *scene = test_calloc(1, sizeof *scene);
    char url[64];
    scene->body = "{\"acknowledged\":true}";
    atomic_store(&scene->status, 200);
    scene->loop = event_loop_new();
    scene->peer = http_peer_new_answering(serve, scene);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)http_peer_port(scene->peer));
    scene->requests =
        index_requests_new(scene->loop, &(struct elasticsearch_options){.url = url}, ANSWER_MAX);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    index_requests_free(scene->requests);
    http_peer_free(scene->peer);
    event_loop_free(scene->loop);
    test_free(scene);
    return 0;
}

static void send_one(struct scene *scene);

static void on_answer(void *arg, long status, const char *body, size_t body_len,
                      const struct server_error *said)
{
    struct scene *scene = arg;
    scene->answers++;
    scene->said_status = status;
    assert_false(index_requests_busy(scene->requests));
    assert_int_equal(said == NULL, status >= 200 && status <= 299);
    snprintf(scene->said_body, sizeof scene->said_body, "%.*s", (int)body_len, body);
    snprintf(scene->said_words, sizeof scene->said_words, "%s",
             said != NULL ? said->words.message : "");
    if (scene->sends_another) {
        scene->sends_another = false;
        send_one(scene);
    }
}

static void send_one(struct scene *scene)
{
    char path[] = "/orders-000002", body[] = "{\"settings\":{}}";
    index_requests_send(scene->requests,
                        &(struct index_request){.method = "PUT",
                                                .path = path,
                                                .body = body,
                                                .body_len = strlen(body),
                                                .timeout_ms = 1000,
                                                .privilege = "create_index"},
                        on_answer, scene);
    memset(path, 'x', sizeof path - 1); /* both are copied */
    memset(body, 'x', sizeof body - 1);
    assert_true(index_requests_busy(scene->requests));
}

/* A turn in which some time passes. */
static void pass(struct scene *scene)
{
    test_clock_advance(50);
    event_loop_turn(scene->loop, 5);
}

static void test_an_answer(void **state)
{
    struct scene *scene = *state;
    scene->sends_another = true;
    send_one(scene);
    wait_until(scene->answers == 2, event_loop_turn(scene->loop, 5));
    assert_int_equal(scene->said_status, 200);
    assert_string_equal(scene->said_body, "{\"acknowledged\":true}");
    assert_memory_equal(scene->request, "PUT /orders-000002 HTTP/1.1\r\n", 29);
    assert_non_null(strstr(scene->request, "\r\n\r\n{\"settings\":{}}"));
    assert_non_null(strcasestr(scene->request, "Content-Type: application/json\r\n"));
}

/* Asked again until Elasticsearch answers. */
static void test_what_passes(void **state)
{
    static const struct {
        int status;
        const char *body, *trouble;
    } cases[] = {
        {0, "", ""},
        {429, REFUSAL("es_rejected_execution_exception"), "es_rejected_execution_exception"},
        {429, "<html>", "no reason given"},
        {502, "Bad Gateway", "no reason given"},
        {503, REFUSAL("master_not_discovered_exception"), "master_not_discovered_exception"},
        {503, REFUSAL("cluster_block_exception"), "cluster_block_exception"},
        {504, "", "no reason given"},
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scene->body = cases[i].body;
        scene->answers = 0;
        atomic_store(&scene->asked, 0);
        atomic_store(&scene->status, cases[i].status);
        send_one(scene);
        assert_null(index_requests_trouble(scene->requests));
        wait_until(atomic_load(&scene->asked) >= 3, pass(scene));
        assert_int_equal(scene->answers, 0);
        assert_non_null(strstr(index_requests_trouble(scene->requests), cases[i].trouble));
        atomic_store(&scene->status, 201);
        wait_until(scene->answers == 1, pass(scene));
        assert_int_equal(scene->said_status, 201);
        assert_null(index_requests_trouble(scene->requests));
        assert_non_null(strstr(scene->request, "{\"settings\":{}}"));
    }
}

/* What must not be executed twice is not asked again. */
static void test_once(void **state)
{
    static const int statuses[] = {0, 429, 503};
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        scene->answers = 0;
        atomic_store(&scene->asked, 0);
        atomic_store(&scene->status, statuses[i]);
        index_requests_send(scene->requests,
                            &(struct index_request){
                                .method = "POST", .path = "/x", .once = true, .timeout_ms = 1000},
                            on_answer, scene);
        wait_until(scene->answers == 1, pass(scene));
        assert_int_equal(scene->said_status, statuses[i]);
        assert_int_equal(atomic_load(&scene->asked), 1);
        assert_string_not_equal(scene->said_words, "");
    }
}

/* The pauses grow to 5 s. */
static void test_pauses(void **state)
{
    struct scene *scene = *state;
    atomic_store(&scene->status, 503);
    send_one(scene);
    wait_until(atomic_load(&scene->asked) >= 10, pass(scene));
    int before = atomic_load(&scene->asked);
    for (int i = 0; i < 200; i++) { /* 40 s */
        test_clock_advance(200);
        event_loop_turn(scene->loop, 5);
    }
    assert_in_range(atomic_load(&scene->asked) - before, 5, 20);
    assert_int_equal(scene->answers, 0);
}

/* Told to the caller at once. */
static void test_what_stays(void **state)
{
    static const struct {
        int status;
        const char *body, *words;
    } cases[] = {
        {400, REFUSAL("resource_already_exists_exception"), "resource_already_exists_exception"},
        {403, REFUSAL("security_exception"), "the privilege create_index is missing"},
        {403, REFUSAL("cluster_block_exception"), "cluster_block_exception"},
        {404, REFUSAL("aliases_not_found_exception"), "aliases_not_found_exception"},
        {429, REFUSAL("cluster_block_exception"), "cluster_block_exception"},
        {500, "{}", "no reason given"},
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scene->body = cases[i].body;
        atomic_store(&scene->status, cases[i].status);
        send_one(scene);
        wait_until(scene->answers == i + 1, event_loop_turn(scene->loop, 5));
        assert_int_equal(scene->said_status, cases[i].status);
        assert_string_equal(scene->said_body, cases[i].body);
        assert_non_null(strstr(scene->said_words, cases[i].words));
    }
    assert_int_equal(atomic_load(&scene->asked), sizeof cases / sizeof cases[0]);
}

static void test_too_long(void **state)
{
    struct scene *scene = *state;
    char body[ANSWER_MAX + 2];
    memset(body, ' ', ANSWER_MAX + 1);
    body[ANSWER_MAX + 1] = '\0';
    scene->body = body;
    send_one(scene);
    wait_until(scene->answers == 1, event_loop_turn(scene->loop, 5));
    assert_int_equal(scene->said_status, 0);
    assert_string_equal(scene->said_words, "the answer is longer than 2000 bytes");
}

/* Freed while a request is under way, and while it waits for its next attempt. */
static void test_freed(void **state)
{
    struct scene *scene = *state;
    atomic_store(&scene->status, 0);
    send_one(scene);
    wait_until(atomic_load(&scene->asked) == 1, event_loop_turn(scene->loop, 5));
    index_requests_free(scene->requests);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)http_peer_port(scene->peer));
    scene->requests =
        index_requests_new(scene->loop, &(struct elasticsearch_options){.url = url}, ANSWER_MAX);
    atomic_store(&scene->status, 503);
    send_one(scene);
    wait_until(index_requests_trouble(scene->requests) != NULL, event_loop_turn(scene->loop, 5));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer), TEST(test_what_passes), TEST(test_pauses), TEST(test_what_stays),
        TEST(test_too_long),  TEST(test_freed),       TEST(test_once),
    };
    int failures = cmocka_run_group_tests_name("index requests", tests, NULL, NULL);
    curl_global_cleanup();
    return failures;
}
