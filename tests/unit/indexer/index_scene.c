/* The fake Elasticsearch, and the loop that the setup runs on. */
#include "tests/unit/indexer/index_scene.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the fake Elasticsearch ---- */

static struct {
    pthread_mutex_t mutex;
    struct answer answers[REQUEST_KINDS];
    char calls[1024]; /* so far: "look template list index1 " */
    char bodies[REQUEST_KINDS][2048];
    struct answer after; /* to a look once an index was to be created; status 0: no other */
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int serve(void *arg, const char *request, char *body, size_t size)
{
    static const struct {
        const char *begin, *name;
    } kinds[] = {
        [LOOK] = {"GET /orders?filter_path=error,*.aliases,", "look"},
        [PUT_TEMPLATE] = {"PUT /_index_template/orders HTTP/1.1\r\n", "template"},
        [LIST] = {"GET /orders-*?expand_wildcards=all&filter_path=error,", "list"},
        [PUT_INDEX] = {"PUT /orders-0000", "index"},
    };
    (void)arg;
    for (size_t i = 0; i < REQUEST_KINDS; i++) {
        size_t len = strlen(kinds[i].begin);
        if (strncmp(request, kinds[i].begin, len) != 0)
            continue;
        pthread_mutex_lock(&server.mutex);
        struct answer answer = server.answers[i];
        size_t used = strlen(server.calls);
        char number[16] = "";
        if (i == PUT_INDEX)
            snprintf(number, sizeof number, "%d", atoi(request + len));
        snprintf(server.calls + used, sizeof server.calls - used, "%s%s ", kinds[i].name, number);
        snprintf(server.bodies[i], sizeof server.bodies[i], "%s", strstr(request, "\r\n\r\n") + 4);
        if (i == PUT_INDEX && server.after.status != 0)
            server.answers[LOOK] = server.after;
        pthread_mutex_unlock(&server.mutex);
        snprintf(body, size, "%s", answer.body);
        return answer.status;
    }
    return strncmp(request, "GET /busy ", 10) == 0 ? 0 : 599;
}

void set_answers(struct answer look, struct answer template, struct answer index)
{
    pthread_mutex_lock(&server.mutex);
    server.answers[LOOK] = look;
    server.answers[PUT_TEMPLATE] = template;
    server.answers[LIST] = (struct answer){200, "{}"};
    server.answers[PUT_INDEX] = index;
    server.calls[0] = '\0';
    server.after = index.status == 200 ? found_alias : (struct answer){0, ""};
    pthread_mutex_unlock(&server.mutex);
}

/* After set_answers(). */
void set_list(struct answer list, struct answer after)
{
    pthread_mutex_lock(&server.mutex);
    server.answers[LIST] = list;
    server.after = after;
    pthread_mutex_unlock(&server.mutex);
}

bool called(const char *call)
{
    pthread_mutex_lock(&server.mutex);
    bool found_call = strstr(server.calls, call) != NULL;
    pthread_mutex_unlock(&server.mutex);
    return found_call;
}

void assert_calls(const char *expected)
{
    char calls[sizeof server.calls];
    pthread_mutex_lock(&server.mutex);
    memcpy(calls, server.calls, sizeof calls);
    pthread_mutex_unlock(&server.mutex);
    assert_string_equal(calls, expected);
}

/* ---- the module under test ---- */

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

void scene_start(struct scene *scene)
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

void scene_finish(struct scene *scene)
{
    elasticsearch_free(scene->client);
    index_setup_free(scene->setup);
    index_definition_free(scene->definition);
    event_loop_free(scene->loop);
    http_peer_free(scene->peer);
}

void scene_turn_until_told(struct scene *scene, int times)
{
    run_loop_until(scene->loop, scene->told >= times);
    assert_int_equal(scene->told, times);
}

void scene_start_usable(struct scene *scene)
{
    set_answers(missing, done, done);
    scene_start(scene);
    scene_turn_until_told(scene, 1);
    assert_true(scene->usable);
    set_answers(found, done, done);
}

void scene_pass(struct scene *scene, int64_t ms)
{
    test_clock_pass(ms, event_loop_turn(scene->loop, 0));
}

/* Time passes, slowly enough for a server that answers. */
void scene_step(struct scene *scene)
{
    event_loop_turn(scene->loop, 1);
    test_clock_advance(10);
}

const char *last_body(enum request_kind kind)
{
    return server.bodies[kind];
}
