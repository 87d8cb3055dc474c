/* Answers to _bulk. What the indexer makes of them is in test_bulk_answer. */
#include "services/clients/elasticsearch/bulk_items.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define ID(last) "00000000-0000-0000-0000-0000000000" last
#define INDEXED(id) "{\"index\":{\"_id\":\"" id "\",\"status\":201}}"
#define USUAL "{\"items\":[" INDEXED(ID("00")) "," INDEXED(ID("01")) "]}"

static struct order orders[2];
static const struct order *const both[] = {&orders[0], &orders[1]};

static void test_all_stored(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "{\"items\":[" INDEXED(ID("00")) "]}",
        "{\"items\":[" INDEXED(ID("01")) "," INDEXED(ID("00")) "]}",
        "{\"items\":[" INDEXED(ID("00")) "," INDEXED(ID("01")) "]} ",
        "{\"items\":[" INDEXED(ID("00")) ",{\"index\":{\"_id\":\"" ID("01") "\",\"status\":400}}]}",
    };
    assert_true(bulk_items_all_stored(both, 2, USUAL, strlen(USUAL)));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(bulk_items_all_stored(both, 2, others[i], strlen(others[i])));
}

static void test_items(void **state)
{
    (void)state;
    static const char body[] = "{\"items\":[{\"delete\":{\"_id\":\"" ID(
        "00") "\",\"status\":404}},{\"delete\":{\"_id\":\""
              "any "
              "id\",\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\"}}},"
              "{\"delete\":{\"_id\":\"\",\"status\":400,\"error\":{\"type\":"
              "\"document_parsing_exception\",\"reason\":\"no\"}}}]}";
    struct error err;
    struct bulk_item item;
    struct bulk_items *items = bulk_items_new("delete", body, strlen(body), 3, &err);
    assert_non_null(items);
    bulk_items_get(items, 0, &item);
    assert_int_equal(item.id_len, ORDER_ID_TEXT_LEN);
    assert_int_equal(item.status, 404);
    assert_false(item.stored || item.about_the_document);
    bulk_items_get(items, 1, &item);
    assert_string_equal(item.id, "any id");
    assert_true(item.stored);
    bulk_items_get(items, 2, &item);
    assert_true(!item.stored && item.about_the_document);
    assert_string_equal(item.error.words.message, "document_parsing_exception: no");
    bulk_items_free(items);

    assert_null(bulk_items_new("index", body, strlen(body), 3, &err));
    assert_string_equal(err.message, "the answer to _bulk is not that of the 3 documents sent");
    assert_null(bulk_items_new("delete", body, strlen(body), 2, &err));
    assert_null(bulk_items_new("delete", "<html>", 6, 1, &err));
    assert_memory_equal(err.message, "the answer to _bulk is not JSON: ", 33);
    bulk_items_free(NULL);
}

static void test_items_of_orders(void **state)
{
    (void)state;
    struct error err;
    struct bulk_items *items = bulk_items_new("index", USUAL, strlen(USUAL), 2, &err);
    const struct order *const turned[] = {&orders[1], &orders[0]};
    assert_true(bulk_items_are_of(items, both));
    assert_false(bulk_items_are_of(items, turned));
    bulk_items_free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_stored),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_items_of_orders),
    };
    orders[1].id.bytes[15] = 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
