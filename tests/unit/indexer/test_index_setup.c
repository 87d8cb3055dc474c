/* How the index is looked after, on a fake Elasticsearch, by the test's clock. */
#include "tests/unit/indexer/index_scene.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <signal.h>
#include <string.h>

#define LOOK_INTERVAL_MS 5000
#define REQUEST_TIMEOUT_MS 4000

/* The template may be an old one, so it is put once by each process. */
static void test_index_is_there(void **state)
{
    (void)state;
    const struct answer forms[] = {found, found_alias};
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct scene scene;
        set_answers(forms[i], done, exists_already);
        scene_start(&scene);
        scene_turn_until_told(&scene, 1);
        assert_true(scene.usable);
        assert_calls("look template ");
        assert_true(index_setup_requires_alias(scene.setup) == (i == 1));
        scene_finish(&scene);
    }
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
        {missing, refused, "look template list index1 look ",
         "installing the index template: HTTP status 403: the privilege manage_index_templates is "
         "missing: security_exception: no permission"},
        {found, clash, "look template ",
         "installing the index template: HTTP status 400: illegal_argument_exception: same "
         "priority"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(cases[i].look, cases[i].template, done);
        scene_start(&scene);
        scene_turn_until_told(&scene, 1);
        assert_true(scene.usable);
        assert_calls(cases[i].calls);
        assert_string_equal(scene.warning, cases[i].warning);

        set_answers(found, cases[i].template, done);
        wait_until(called("look"), scene_step(&scene));
        run_loop_for(scene.loop, 20);
        assert_calls("look ");
        assert_int_equal(scene.warnings, 1);

        /* a template that is missing with its index is put again */
        set_answers(missing, cases[i].template, done);
        wait_until(called("index1 look "), scene_step(&scene));
        assert_calls("look template list index1 look ");
        run_loop_for(scene.loop, 20);
        assert_int_equal(scene.warnings, 2);
        assert_int_equal(scene.told, 1);
        scene_finish(&scene);
    }
}

/* That says nothing about the template. */
static void test_template_fails(void **state)
{
    (void)state;
    const struct answer busy = {503, "{}"};
    struct scene scene;
    set_answers(found, busy, done);
    scene_start(&scene);
    scene_turn_until_told(&scene, 1);
    assert_true(scene.usable);
    set_answers(found, done, done);
    wait_until(called("template"), scene_step(&scene));
    assert_calls("look template ");
    assert_int_equal(scene.warnings, 0);
    scene_finish(&scene);
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
        {missing, done, refused, false, "look template list index1 ",
         "creating the index: HTTP status 403: the privilege manage is missing: "
         "security_exception: no permission"},
        {missing, done, missing, false, "look template list index1 ",
         "creating the index: HTTP status 404: "},
        {missing,
         done,
         {400, "{}"},
         false,
         "look template list index1 ",
         "creating the index: HTTP status 400: "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(cases[i].look, cases[i].template, cases[i].index);
        scene_start(&scene);
        run_loop_until(scene.loop, called(cases[i].calls));
        if (cases[i].silent) {
            scene_pass(&scene, REQUEST_TIMEOUT_MS - 10);
            assert_int_equal(scene.told, 0);
            scene_pass(&scene, 20);
        }
        scene_turn_until_told(&scene, 1);
        assert_false(scene.usable);
        assert_calls(cases[i].calls);
        assert_memory_equal(scene.reason, cases[i].reason, strlen(cases[i].reason));

        /* the next round succeeds */
        set_answers(missing, done, done);
        test_clock_advance(LONGEST_BACKOFF_MS);
        scene_turn_until_told(&scene, 2);
        assert_true(scene.usable);
        scene_finish(&scene);
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
    scene_start_usable(&scene);
    assert_int_equal(elasticsearch_request(scene.client, "GET", "/busy", NULL, NULL, 0, false, 500,
                                           ignore, NULL),
                     0);
    index_setup_check(scene.setup);
    scene_turn_until_told(&scene, 2);
    assert_false(scene.usable);
    assert_string_equal(scene.reason,
                        "looking for the index: HTTP status 0: too many requests at once");
    wait_until(scene.usable, scene_step(&scene));
    assert_calls("look ");
    scene_finish(&scene);
}

static void test_looks_again(void **state)
{
    (void)state;
    struct scene scene;
    scene_start_usable(&scene);
    scene_pass(&scene, LOOK_INTERVAL_MS - 1);
    assert_calls("");
    scene_pass(&scene, 1);
    run_loop_until(scene.loop, called("look"));
    assert_calls("look ");

    /* a deleted index is made again, and nothing is told, since the index is usable all the time */
    set_answers(missing, done, done);
    wait_until(called("index1 look "), scene_step(&scene));
    assert_calls("look template list index1 look ");
    assert_int_equal(scene.told, 1);

    /* a server that is gone is told of at each round */
    set_answers((struct answer){503, ""}, done, done);
    for (int told = 2; told <= 4; told++) {
        wait_until(scene.told >= told, scene_step(&scene));
        assert_int_equal(scene.told, told);
        assert_false(scene.usable);
    }
    set_answers(found, done, done);
    wait_until(scene.usable, scene_step(&scene));
    assert_calls("look ");
    scene_finish(&scene);
}

static void test_check(void **state)
{
    (void)state;
    struct scene scene;
    scene_start_usable(&scene);
    set_answers((struct answer){0, ""}, done, done);
    index_setup_check(scene.setup);
    index_setup_check(scene.setup); /* one look for both */
    run_loop_until(scene.loop, called("look"));
    index_setup_check(scene.setup); /* under way */
    run_loop_for(scene.loop, 20);
    assert_calls("look ");

    /* while it is not usable, the rounds keep their backoff */
    scene_pass(&scene, REQUEST_TIMEOUT_MS + 10);
    scene_turn_until_told(&scene, 2);
    assert_false(scene.usable);
    set_answers(found, done, done);
    index_setup_check(scene.setup);
    run_loop_for(scene.loop, 20);
    assert_calls("");
    test_clock_advance(LONGEST_BACKOFF_MS);
    scene_turn_until_told(&scene, 3);
    assert_true(scene.usable);
    scene_finish(&scene);
}

/* As the indexer ends: the client is freed first, with a request under way. */
static void test_freed_in_a_round(void **state)
{
    (void)state;
    struct scene scene;
    set_answers((struct answer){0, ""}, done, done);
    scene_start(&scene);
    run_loop_until(scene.loop, called("look"));
    scene_finish(&scene);
    assert_int_equal(scene.told, 0);
    index_setup_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_is_there), cmocka_unit_test(test_template_is_refused),
        cmocka_unit_test(test_template_fails), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_client_is_busy), cmocka_unit_test(test_looks_again),
        cmocka_unit_test(test_check),          cmocka_unit_test(test_freed_in_a_round),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
