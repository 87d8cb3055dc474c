/* Names, and listings as Elasticsearch answers them. */
#include "services/clients/elasticsearch/index_names.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned number;
    } cases[] = {
        {"orders-000001", 1},   {"orders-999999", 999999}, {"orders", 0},
        {"orders-", 0},         {"orders-1", 0},           {"orders-0000001", 0},
        {"orders-00000a", 0},   {"orders-00000 ", 0},      {"orders_000001", 0},
        {"order-000001", 0},    {"orders-000000", 0},      {"", 0},
        {"orders-x-000001", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(index_names_number("orders", cases[i].name), cases[i].number);
    char name[INDEX_NAME_SIZE];
    index_names_write("orders", 17, name);
    assert_string_equal(name, "orders-000017");
}

#define INDEX(name) "\"" name "\":{\"settings\":{\"index\":{\"uuid\":\"u\"}}}"

static void test_next(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        unsigned next; /* 0: none */
        const char *fault;
    } cases[] = {
        {"{}", 1, ""},
        {"{" INDEX("orders-000001") "}", 2, ""},
        {"{" INDEX("orders-000009") "," INDEX("orders-000003") "," INDEX("orders-archive") "}", 10,
         ""},
        {"{" INDEX("orders-2026.11.30") "}", 1, ""},
        {"{" INDEX("orders-999999") "}", 0, "no number is left after the index orders-999999"},
        {"[]", 0, "the list of the indices orders-* is not JSON"},
        {"<html>", 0, "the list of the indices orders-* is not JSON"},
        {"", 0, "the list of the indices orders-* is not JSON"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {.message = ""};
        unsigned number = 0;
        int rc = index_names_next("orders", cases[i].body, strlen(cases[i].body), &number, &err);
        assert_int_equal(rc, cases[i].next > 0 ? 0 : -1);
        assert_int_equal(number, cases[i].next);
        assert_string_equal(err.message, cases[i].fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_next)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
