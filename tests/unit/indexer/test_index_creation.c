/* How the index is created behind its alias, on a fake Elasticsearch, by the test's clock. */
#include "tests/unit/indexer/index_scene.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <jansson.h>
#include <signal.h>

static void assert_body(enum request_kind kind, const char *expected_text)
{
    json_t *body = json_loads(last_body(kind), JSON_REJECT_DUPLICATES, NULL);
    json_t *expected = json_loads(expected_text, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(body, expected));
    json_decref(body);
    json_decref(expected);
}

#define DEFINITION                                                                                 \
    "\"settings\":{\"index.auto_expand_replicas\":\"0-1\"},"                                       \
    "\"mappings\":{\"dynamic\":false,\"properties\":{\"id\":{\"type\":\"keyword\",\"index\":"      \
    "false},"                                                                                      \
    "\"product_name\":{\"type\":\"text\"},\"amount\":{\"type\":\"double\"},"                       \
    "\"created_at\":{\"type\":\"date\"}}}"

static void test_nothing_is_there(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(missing, done, done);
    scene_start(&scene);
    scene_turn_until_told(&scene, 1);
    assert_true(scene.usable);
    assert_calls("look template list index1 look ");
    assert_true(index_setup_requires_alias(scene.setup));

    assert_body(PUT_INDEX, "{" DEFINITION ",\"aliases\":{\"orders\":{\"is_write_index\":true}}}");
    assert_body(PUT_TEMPLATE,
                "{\"index_patterns\":[\"orders\"],\"priority\":500,\"template\":{" DEFINITION "}}");
    assert_int_equal(scene.warnings, 0);
    scene_finish(&scene);
}

/* Whichever way the server says that another one was faster. */
static void test_another_creates_it(void **state)
{
    (void)state;
    const struct answer second = {500, "{\"error\":{\"type\":\"illegal_state_exception\"}}"},
                        concrete = {400, "{\"error\":{\"type\":\"invalid_alias_name_exception\"}}"};
    const struct {
        struct answer refusal, after;
    } cases[] = {{exists_already, found_alias}, {second, found_alias}, {concrete, found}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(missing, done, cases[i].refusal);
        set_list((struct answer){200, "{}"}, cases[i].after);
        scene_start(&scene);
        scene_turn_until_told(&scene, 1);
        assert_true(scene.usable);
        assert_calls("look template list index1 look ");
        assert_true(index_setup_requires_alias(scene.setup) == (cases[i].after.body != found.body));
        scene_finish(&scene);
    }
}

static void test_number(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(missing, done, done);
    set_list((struct answer){200, "{\"orders-000007\":{},\"orders-000003\":{}}"}, found_alias);
    scene_start(&scene);
    scene_turn_until_told(&scene, 1);
    assert_true(scene.usable);
    assert_calls("look template list index8 look ");
    scene_finish(&scene);
}

/* One number after the other is tried, so many in a round, and the next round goes on. */
static void test_list_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    set_answers(missing, done, exists_already);
    set_list((struct answer){403, "{\"error\":{\"type\":\"security_exception\"}}"},
             (struct answer){0, ""});
    scene_start(&scene);
    scene_turn_until_told(&scene, 1);
    assert_false(scene.usable);
    assert_string_equal(scene.reason, "creating the index: HTTP status 400: "
                                      "resource_already_exists_exception: faster");
    assert_true(called("look template list index1 look list index2 look list index3 "));
    assert_true(called("look list index16 "));
    assert_false(called("index17 "));
    set_answers(missing, done, done);
    test_clock_advance(LONGEST_BACKOFF_MS);
    scene_turn_until_told(&scene, 2);
    assert_true(scene.usable);
    assert_true(called("index16 "));

    /* after it is found, the numbers begin again */
    set_answers(missing, done, done);
    wait_until(called("look template list index1 look "), scene_step(&scene));
    scene_finish(&scene);
}

static void test_list_fails(void **state)
{
    (void)state;
    const struct {
        struct answer list;
        const char *reason;
    } cases[] = {
        {{503, "<html>"}, "listing the indices: HTTP status 503: no reason given"},
        {{200, "<html>"}, "the list of the indices orders-* is not JSON"},
        {{200, "{\"orders-999999\":{}}"}, "no number is left after the index orders-999999"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        set_answers(missing, done, done);
        set_list(cases[i].list, found_alias);
        scene_start(&scene);
        scene_turn_until_told(&scene, 1);
        assert_false(scene.usable);
        assert_string_equal(scene.reason, cases[i].reason);
        assert_calls("look template list ");
        scene_finish(&scene);
    }
}

/* The alias deleted; a concrete index in its place; that one deleted. */
static void test_form_changes(void **state)
{
    (void)state;
    struct scene scene;
    scene_start_usable(&scene);
    wait_until(!index_setup_requires_alias(scene.setup), scene_step(&scene));
    assert_calls("look ");
    set_answers(missing, done, done);
    set_list((struct answer){200, "{\"orders-000001\":{}}"}, found_alias);
    wait_until(called("look template list index2 look "), scene_step(&scene));
    assert_true(index_setup_requires_alias(scene.setup));
    assert_int_equal(scene.told, 1);
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_there), cmocka_unit_test(test_another_creates_it),
        cmocka_unit_test(test_number),           cmocka_unit_test(test_list_is_refused),
        cmocka_unit_test(test_list_fails),       cmocka_unit_test(test_form_changes),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
