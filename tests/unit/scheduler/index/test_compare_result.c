/* How a result is shown and kept, and what of it waits for a person. */
#include "services/scheduler/index/compare_result.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <stdlib.h>

static void assert_json(json_t *json, const char *expected)
{
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

static void test_shown(void **state)
{
    (void)state;
    struct compare_result result = {.from_us = 0,
                                    .to_us = 3600 * INT64_C(1000000),
                                    .orders = 10,
                                    .documents = 9,
                                    .approximate = true};
    compare_tally_add(&result.missing, "a");
    compare_tally_add(&result.missing, "b");
    compare_tally_add(&result.extra, "\"");
    compare_tally_add(&result.dead_at_index, "c");
    compare_tally_add(&result.refused, "d");
    result.missing.mended = 2;
    result.dead_at_index.mended = 1;
    result.extra.mended = 1;
    assert_json(compare_result_to_json(&result),
                "{\"from\":\"1970-01-01T00:00:00Z\",\"to\":\"1970-01-01T01:00:00Z\",\"orders\":10,"
                "\"documents\":9,\"missing\":{\"count\":2,\"ids\":[\"a\",\"b\"]},"
                "\"extra\":{\"count\":1,\"ids\":[\"\\\"\"]},\"different\":{\"count\":0,\"ids\":[]},"
                "\"dead_at_index\":{\"count\":1,\"ids\":[\"c\"]},"
                "\"refused\":{\"count\":1,\"ids\":[\"d\"]},\"repaired\":3,\"deleted\":1,"
                "\"approximate\":true}");
    assert_int_equal(compare_result_differences(&result), 0);

    json_t *saved = compare_result_save(&result);
    struct compare_result loaded;
    assert_int_equal(compare_result_load(saved, &loaded), 0);
    char *text = json_dumps(saved, JSON_COMPACT);
    assert_json(compare_result_save(&loaded), text);
    free(text);

    static const char *const needed[] = {"from",          "to",     "orders",    "missing", "extra",
                                         "dead_at_index", "mended", "different", "refused"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        json_t *damaged = json_copy(saved);
        json_object_set_new(damaged, needed[i], json_string("?"));
        struct compare_result none;
        assert_int_equal(compare_result_load(damaged, &none), -1);
        assert_int_equal(none.missing.id_count, 0);
        json_decref(damaged);
    }
    json_decref(saved);
    compare_result_release(&result);
    compare_result_release(&loaded);

    result.from_us = INT64_MIN;
    saved = compare_result_to_json(&result);
    assert_true(json_is_null(json_object_get(saved, "from")));
    json_decref(saved);
}

static void test_ids(void **state)
{
    (void)state;
    struct compare_tally tally = {.count = 0};
    struct compare_result result = {.orders = 0};
    for (int i = 0; i < 1000; i++)
        compare_tally_add(&tally, "an id");
    assert_int_equal(tally.count, 1000);
    assert_int_equal(tally.id_count, COMPARE_IDS_MAX);
    result.extra = tally;
    compare_result_release(&result);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        int64_t wrong, orders;
        bool within;
    } cases[] = {{0, 0, true},           {1000, 0, true},        {1000, 1000, true},
                 {1001, 0, false},       {1001, 100000, false},  {1001, 100100, true},
                 {50000, 5000000, true}, {50001, 5000000, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(compare_within_limits(cases[i].wrong, cases[i].orders), cases[i].within);
}

static void assert_fault(int64_t missing, int64_t different, int64_t extra, int64_t mended,
                         const char *expected)
{
    struct compare_result result = {.orders = 200000,
                                    .missing = {.count = missing, .mended = mended},
                                    .different = {.count = different},
                                    .extra = {.count = extra}};
    char fault[COMPARE_FAULT_SIZE];
    compare_result_fault(&result, fault);
    assert_string_equal(fault, expected);
}

static void test_fault(void **state)
{
    (void)state;
    struct compare_result refused = {
        .orders = 200000, .missing = {.count = 2001}, .refused = {.count = 2001}};
    char words[COMPARE_FAULT_SIZE];
    compare_result_fault(&refused, words);
    assert_string_equal(words, "Elasticsearch refuses 2001 of 200000 orders, which the mapping of "
                               "the index does not take. Mend ORDER_INDEX_SETTINGS_FILE, then: "
                               "orderctl reindex");
    assert_fault(2000, 0, 2000, 0, "");
    assert_fault(3000, 0, 0, 3000, "");
    assert_fault(1999, 2, 0, 0,
                 "search lacks 1999 of 200000 orders and shows 2 wrongly. Unless somebody wants "
                 "that: orderctl verify --full --repair");
    assert_fault(0, 0, 2001, 0,
                 "search has 2001 documents without an order. Unless somebody wants them: "
                 "orderctl verify --full --repair --delete-extra");
    assert_fault(INT64_MAX / 2, INT64_MAX / 2, INT64_MAX, 0,
                 "search lacks 4611686018427387903 of 200000 orders and shows 4611686018427387903 "
                 "wrongly. Unless somebody wants that: orderctl verify --full --repair; search has "
                 "9223372036854775807 documents without an order. Unless somebody wants them: "
                 "orderctl verify --full --repair --delete-extra");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
