/* The installation of the index and its template on a fake Elasticsearch, by the test's clock. */
#include "services/indexer/index_setup.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LOOK_INTERVAL_MS 5000
#define LONGEST_BACKOFF_MS 1000
#define REQUEST_TIMEOUT_MS 4000

enum request_kind { LOOK, PUT_TEMPLATE, PUT_INDEX, REQUEST_KINDS };

struct answer {
    int status; /* 0: none */
    const char *body;
};

/* ---- the fake Elasticsearch ---- */

static struct {
    pthread_mutex_t mutex;
    struct answer answers[REQUEST_KINDS];
    char calls[128]; /* so far: "look template index " */
    char bodies[REQUEST_KINDS][2048];
    bool created_elsewhere; /* the index is found from the moment that it cannot be created */
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const struct answer found = {200, "{\"orders\":{\"aliases\":{}}}"};
static const struct answer done = {200, "{\"acknowledged\":true}"};
static const struct answer missing = {404, "{\"error\":{\"type\":\"index_not_found_exception\"}}"};
static const struct answer exists_already = {
    400, "{\"error\":{\"type\":\"resource_already_exists_exception\",\"reason\":\"faster\"}}"};

static int serve(void *arg, const char *request, char *body, size_t size)
{
    static const struct {
        const char *begin, *name;
    } kinds[] = {
        [LOOK] = {"GET /orders?filter_path=error,*.aliases,", "look"},
        [PUT_TEMPLATE] = {"PUT /_index_template/orders HTTP/1.1\r\n", "template"},
        [PUT_INDEX] = {"PUT /orders HTTP/1.1\r\n", "index"},
    };
    (void)arg;
    for (size_t i = 0; i < REQUEST_KINDS; i++) {
        if (strncmp(request, kinds[i].begin, strlen(kinds[i].begin)) != 0)
            continue;
        pthread_mutex_lock(&server.mutex);
        struct answer answer = server.answers[i];
        size_t used = strlen(server.calls);
        snprintf(server.calls + used, sizeof server.calls - used, "%s ", kinds[i].name);
        snprintf(server.bodies[i], sizeof server.bodies[i], "%s", strstr(request, "\r\n\r\n") + 4);
        if (i == PUT_INDEX && server.created_elsewhere)
            server.answers[LOOK] = found;
        pthread_mutex_unlock(&server.mutex);
        snprintf(body, size, "%s", answer.body);
        return answer.status;
    }
    return strncmp(request, "GET /busy ", 10) == 0 ? 0 : 599;
}

static void set_answers(struct answer look, struct answer template, struct answer index)
{
    pthread_mutex_lock(&server.mutex);
    server.answers[LOOK] = look;
    server.answers[PUT_TEMPLATE] = template;
    server.answers[PUT_INDEX] = index;
    server.calls[0] = '\0';
    server.created_elsewhere = false;
    pthread_mutex_unlock(&server.mutex);
}

static bool called(const char *call)
{
    pthread_mutex_lock(&server.mutex);
    bool found_call = strstr(server.calls, call) != NULL;
    pthread_mutex_unlock(&server.mutex);
    return found_call;
}

static void assert_calls(const char *expected)
{
    char calls[sizeof server.calls];
    pthread_mutex_lock(&server.mutex);
    memcpy(calls, server.calls, sizeof calls);
    pthread_mutex_unlock(&server.mutex);
    assert_string_equal(calls, expected);
}

/* ---- the module under test ---- */

struct scene {
    struct http_peer *peer;
    struct event_loop *loop;
    struct elasticsearch *client;
    struct index_definition *definition;
    struct index_setup *setup;
    int told; /* on_state() was called so often */
    bool usable;
    char reason[256];
    int warnings; /* on_warning() was called so often */
    char warning[256];
};

static void on_state(void *arg, bool usable, const char *reason)
{
    struct scene *scene = arg;
    scene->told++;
    scene->usable = usable;
    assert_true(usable == (reason == NULL));
    assert_true(usable == index_setup_usable(scene->setup));
    if (reason != NULL) {
        assert_string_equal(reason, index_setup_reason(scene->setup));
        snprintf(scene->reason, sizeof scene->reason, "%s", reason);
    }
}

static void on_warning(void *arg, const char *reason)
{
    struct scene *scene = arg;
    scene->warnings++;
    snprintf(scene->warning, sizeof scene->warning, "%s", reason);
}

static void start(struct scene *scene)
{
    char url[64];
    *scene = (struct scene){.peer = http_peer_new_answering(serve, NULL), .loop = event_loop_new()};
    snprintf(url, sizeof url, "http://127.0.0.1:%u", http_peer_port(scene->peer));
    scene->client = elasticsearch_new(
        scene->loop, &(struct elasticsearch_options){
                         .url = url, .max_in_flight = 1, .max_response_bytes = 10000});
    scene->definition = index_definition_new(NULL, NULL);
    scene->setup =
        index_setup_new(scene->loop, &(struct index_setup_options){.client = scene->client,
                                                                   .index = "orders",
                                                                   .definition = scene->definition,
                                                                   .on_state = on_state,
                                                                   .on_warning = on_warning,
                                                                   .arg = scene});
    assert_false(index_setup_usable(scene->setup));
}

static void finish(struct scene *scene)
{
    elasticsearch_free(scene->client);
    index_setup_free(scene->setup);
    index_definition_free(scene->definition);
    event_loop_free(scene->loop);
    http_peer_free(scene->peer);
}

static void turn_until_told(struct scene *scene, int times)
{
    run_loop_until(scene->loop, scene->told >= times);
    assert_int_equal(scene->told, times);
}

static void start_usable(struct scene *scene)
{
    set_answers(missing, done, done);
    start(scene);
    turn_until_told(scene, 1);
    assert_true(scene->usable);
    set_answers(found, done, done);
}

static void pass(struct scene *scene, int64_t ms)
{
    test_clock_pass(ms, event_loop_turn(scene->loop, 0));
}

/* Time passes, slowly enough for a server that answers. */
static void step(struct scene *scene)
{
    event_loop_turn(scene->loop, 1);
    test_clock_advance(10);
}

/* ---- tests ---- */

static void assert_body(enum request_kind kind, const char *expected_text)
{
    json_t *body = json_loads(server.bodies[kind], JSON_REJECT_DUPLICATES, NULL);
    json_t *expected = json_loads(expected_text, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(body, expected));
    json_decref(body);
    json_decref(expected);
}

#define DEFINITION                                                                                 \
    "\"settings\":{\"index.refresh_interval\":\"1s\",\"index.auto_expand_replicas\":\"0-1\"},"     \
    "\"mappings\":{\"dynamic\":false,\"properties\":{\"id\":{\"type\":\"keyword\"},"               \
    "\"product_name\":{\"type\":\"text\"},\"amount\":{\"type\":\"double\"},"                       \
    "\"created_at\":{\"type\":\"date\"}}}"

static void test_nothing_is_there(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(missing, done, done);
    start(&scene);
    turn_until_told(&scene, 1);
    assert_true(scene.usable);
    assert_calls("look template index ");

    assert_body(PUT_INDEX, "{" DEFINITION ",\"aliases\":{}}");
    assert_body(PUT_TEMPLATE,
                "{\"index_patterns\":[\"orders\"],\"priority\":500,\"template\":{" DEFINITION "}}");
    assert_int_equal(scene.warnings, 0);
    finish(&scene);
}

/* The template may be an old one, so it is put once by each process. */
static void test_index_is_there(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(found, done, exists_already);
    start(&scene);
    turn_until_told(&scene, 1);
    assert_true(scene.usable);
    assert_calls("look template ");
    finish(&scene);
}

static void test_another_creates_it(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(missing, done, exists_already);
    server.created_elsewhere = true;
    start(&scene);
    turn_until_told(&scene, 1);
    assert_true(scene.usable);
    assert_calls("look template index look ");
    finish(&scene);
}

/* Each looks, says what it thinks of the template once, and goes on without it. */
static void test_template_is_refused(void **state)
{
    (void)state;
    const struct answer refused = {403, "{\"error\":{\"type\":\"security_exception\","
                                        "\"reason\":\"no permission\"}}"};
    const struct answer clash = {400, "{\"error\":{\"type\":\"illegal_argument_exception\","
                                      "\"reason\":\"same priority\"}}"};
    const struct {
        struct answer look, template;
        const char *calls, *warning;
    } cases[] = {
        {missing, refused, "look template index ",
         "installing the index template: HTTP status 403: the privilege manage_index_templates is "
         "missing: security_exception: no permission"},
        {found, clash, "look template ",
         "installing the index template: HTTP status 400: illegal_argument_exception: same "
         "priority"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(cases[i].look, cases[i].template, done);
        start(&scene);
        turn_until_told(&scene, 1);
        assert_true(scene.usable);
        assert_calls(cases[i].calls);
        assert_string_equal(scene.warning, cases[i].warning);

        set_answers(found, cases[i].template, done);
        wait_until(called("look"), step(&scene));
        run_loop_for(scene.loop, 20);
        assert_calls("look ");
        assert_int_equal(scene.warnings, 1);

        /* a template that is missing with its index is put again */
        set_answers(missing, cases[i].template, done);
        wait_until(called("index"), step(&scene));
        assert_calls("look template index ");
        run_loop_for(scene.loop, 20);
        assert_int_equal(scene.warnings, 2);
        assert_int_equal(scene.told, 1);
        finish(&scene);
    }
}

/* That says nothing about the template. */
static void test_template_fails(void **state)
{
    (void)state;
    const struct answer busy = {503, "{}"};
    struct scene scene;
    set_answers(found, busy, done);
    start(&scene);
    turn_until_told(&scene, 1);
    assert_true(scene.usable);
    set_answers(found, done, done);
    wait_until(called("template"), step(&scene));
    assert_calls("look template ");
    assert_int_equal(scene.warnings, 0);
    finish(&scene);
}

static void test_failures(void **state)
{
    (void)state;
    const struct answer refused = {403, "{\"error\":{\"type\":\"security_exception\","
                                        "\"reason\":\"no permission\"}}"};
    const struct answer odd = {503, "<html>"}, none = {0, ""}, not_ours = {404, "<html>"};
    const struct answer unfit = {
        200, "{\"orders\":{\"mappings\":{\"properties\":{\"amount\":{\"type\":\"date\"}}}}}"};
    const struct {
        struct answer look, template, index;
        bool silent;
        const char *calls, *reason; /* the beginning of it */
    } cases[] = {
        {odd, done, done, false, "look ", "looking for the index: HTTP status 503: "},
        {none, done, done, true, "look ", "looking for the index: HTTP status 0: "},
        {not_ours, done, done, false, "look ",
         "looking for the index: HTTP status 404: no reason given"},
        {refused, done, done, false, "look ",
         "looking for the index: HTTP status 403: the privilege view_index_metadata is missing: "
         "security_exception: no permission"},
        {unfit, done, done, false, "look ",
         "the mapping of the index orders does not fit: amount is date, not double"},
        {missing, done, refused, false, "look template index ",
         "creating the index: HTTP status 403: the privilege create_index is missing: "
         "security_exception: no permission"},
        {missing, done, exists_already, false, "look template index look index ",
         "creating the index: HTTP status 400: resource_already_exists_exception: faster"},
        {missing, done, missing, false, "look template index ",
         "creating the index: HTTP status 404: "},
        {missing,
         done,
         {400, "{}"},
         false,
         "look template index ",
         "creating the index: HTTP status 400: "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(cases[i].look, cases[i].template, cases[i].index);
        start(&scene);
        run_loop_until(scene.loop, called(cases[i].calls));
        if (cases[i].silent) {
            pass(&scene, REQUEST_TIMEOUT_MS - 10);
            assert_int_equal(scene.told, 0);
            pass(&scene, 20);
        }
        turn_until_told(&scene, 1);
        assert_false(scene.usable);
        assert_calls(cases[i].calls);
        assert_memory_equal(scene.reason, cases[i].reason, strlen(cases[i].reason));

        /* the next round succeeds */
        set_answers(missing, done, done);
        test_clock_advance(LONGEST_BACKOFF_MS);
        turn_until_told(&scene, 2);
        assert_true(scene.usable);
        finish(&scene);
    }
}

static void ignore(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                   const struct error *err)
{
    (void)arg, (void)status, (void)end, (void)body, (void)body_len, (void)err;
}

static void test_client_is_busy(void **state)
{
    (void)state;
    struct scene scene;
    start_usable(&scene);
    assert_int_equal(elasticsearch_request(scene.client, "GET", "/busy", NULL, NULL, 0, false, 500,
                                           ignore, NULL),
                     0);
    index_setup_check(scene.setup);
    turn_until_told(&scene, 2);
    assert_false(scene.usable);
    assert_string_equal(scene.reason,
                        "looking for the index: HTTP status 0: too many requests at once");
    wait_until(scene.usable, step(&scene));
    assert_calls("look ");
    finish(&scene);
}

static void test_looks_again(void **state)
{
    (void)state;
    struct scene scene;
    start_usable(&scene);
    pass(&scene, LOOK_INTERVAL_MS - 1);
    assert_calls("");
    pass(&scene, 1);
    run_loop_until(scene.loop, called("look"));
    assert_calls("look ");

    /* a deleted index is made again, and nothing is told, since the index is usable all the time */
    set_answers(missing, done, done);
    wait_until(called("index"), step(&scene));
    assert_calls("look template index ");
    assert_int_equal(scene.told, 1);

    /* a server that is gone is told of at each round */
    set_answers((struct answer){503, ""}, done, done);
    for (int told = 2; told <= 4; told++) {
        wait_until(scene.told >= told, step(&scene));
        assert_int_equal(scene.told, told);
        assert_false(scene.usable);
    }
    set_answers(found, done, done);
    wait_until(scene.usable, step(&scene));
    assert_calls("look ");
    finish(&scene);
}

static void test_check(void **state)
{
    (void)state;
    struct scene scene;
    start_usable(&scene);
    set_answers((struct answer){0, ""}, done, done);
    index_setup_check(scene.setup);
    index_setup_check(scene.setup); /* one look for both */
    run_loop_until(scene.loop, called("look"));
    index_setup_check(scene.setup); /* under way */
    run_loop_for(scene.loop, 20);
    assert_calls("look ");

    /* while it is not usable, the rounds keep their backoff */
    pass(&scene, REQUEST_TIMEOUT_MS + 10);
    turn_until_told(&scene, 2);
    assert_false(scene.usable);
    set_answers(found, done, done);
    index_setup_check(scene.setup);
    run_loop_for(scene.loop, 20);
    assert_calls("");
    test_clock_advance(LONGEST_BACKOFF_MS);
    turn_until_told(&scene, 3);
    assert_true(scene.usable);
    finish(&scene);
}

/* As the indexer ends: the client is freed first, with a request under way. */
static void test_freed_in_a_round(void **state)
{
    (void)state;
    struct scene scene;
    set_answers((struct answer){0, ""}, done, done);
    start(&scene);
    run_loop_until(scene.loop, called("look"));
    finish(&scene);
    assert_int_equal(scene.told, 0);
    index_setup_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_there),
        cmocka_unit_test(test_index_is_there),
        cmocka_unit_test(test_another_creates_it),
        cmocka_unit_test(test_template_is_refused),
        cmocka_unit_test(test_template_fails),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_client_is_busy),
        cmocka_unit_test(test_looks_again),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_freed_in_a_round),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
