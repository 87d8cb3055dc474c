/* Indices and aliases as Elasticsearch describes them, and what is said about each. */
#include "services/clients/elasticsearch/index_look.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <string.h>

#define UUID "\"settings\":{\"index\":{\"uuid\":\"u\"}}"
#define CLOSED "\"settings\":{\"index\":{\"uuid\":\"u\",\"verified_before_close\":\"true\"}}"
#define OURS                                                                                       \
    "\"mappings\":{\"dynamic\":\"false\",\"properties\":{\"id\":{\"type\":\"keyword\"},"           \
    "\"product_name\":{\"type\":\"text\"},\"amount\":{\"type\":\"double\"},"                       \
    "\"created_at\":{\"type\":\"date\"}}}"
#define MAPPED(dynamic, properties)                                                                \
    "{\"orders\":{\"aliases\":{},\"mappings\":{" dynamic "\"properties\":{" properties "}}," UUID  \
    "}}"
#define STRICT "\"dynamic\":\"strict\","
#define FALSE "\"dynamic\":\"false\","
#define FIELD(name, type) "\"" name "\":{\"type\":\"" type "\"}"
#define ALIASED(index, alias) "\"" index "\":{\"aliases\":{\"orders\":" alias "}," OURS "," UUID "}"

static const struct {
    const char *body, *fault; /* NULL: none */
} cases[] = {
    {"{\"orders\":{\"aliases\":{}," OURS "," UUID "}}", NULL},
    /* another program's, whose first document makes the mapping */
    {"{\"orders\":{\"aliases\":{},\"mappings\":{}," UUID "}}", NULL},
    {"{\"orders\":{" UUID "}}", NULL},
    /* the original's */
    {MAPPED("", FIELD("id", "text") "," FIELD("product_name", "text") "," FIELD(
                    "amount", "float") "," FIELD("created_at", "date")),
     NULL},
    {MAPPED(FALSE, FIELD("product_name", "text") "," FIELD("amount", "scaled_float")), NULL},
    {MAPPED(FALSE, FIELD("product_name", "match_only_text") "," FIELD("other", "integer")), NULL},
    {MAPPED("", FIELD("product_name", "integer")),
     "the mapping of the index orders does not fit: product_name is integer, not text"},
    {MAPPED("", "\"product_name\":{\"properties\":{}}"),
     "the mapping of the index orders does not fit: product_name is object, not text"},
    {MAPPED("", FIELD("amount", "long")),
     "the mapping of the index orders does not fit: amount is long, not double"},
    {MAPPED("", FIELD("created_at", "boolean")),
     "the mapping of the index orders does not fit: created_at is boolean, not date"},
    {MAPPED("", FIELD("id", "date")),
     "the mapping of the index orders does not fit: id is date, not keyword"},
    {MAPPED(STRICT, FIELD("id", "keyword") "," FIELD("product_name", "text") "," FIELD("created_at",
                                                                                       "date")),
     "the mapping of the index orders does not fit: it lacks amount"},
    {MAPPED(FALSE, FIELD("id", "keyword")),
     "the mapping of the index orders does not fit: it lacks product_name"},
    {"{\"orders\":{\"aliases\":{}," OURS "," CLOSED "}}", "the index orders is closed"},

    /* aliases */
    {"{" ALIASED("orders-1", "{}") "}", NULL},
    {"{" ALIASED("orders-1", "{\"is_write_index\":true}") "}", NULL},
    {"{" ALIASED("orders-1", "{\"is_write_index\":false}") "}",
     "the alias orders has no write index"},
    {"{" ALIASED("orders-1", "{}") "," ALIASED("orders-2", "{}") "}",
     "the alias orders has no write index"},
    {"{" ALIASED("orders-1", "{}") "," ALIASED("orders-2", "{\"is_write_index\":true}") "}", NULL},
    /* only the write index counts */
    {"{\"orders-1\":{\"aliases\":{\"orders\":{}}," CLOSED
     "}," ALIASED("orders-2", "{\"is_write_index\":true}") "}",
     NULL},
    {"{\"orders-1\":{\"aliases\":{\"orders\":{\"is_write_index\":true}}," CLOSED
     "}," ALIASED("orders-2", "{}") "}",
     "the index orders-1 is closed"},

    /* what is no answer of Elasticsearch */
    {"", "the answer to a look at orders names no index"},
    {"<html>", "the answer to a look at orders names no index"},
    {"{}", "the answer to a look at orders names no index"},
    {"[1]", "the answer to a look at orders names no index"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {.message = ""};
        struct index_look look;
        int rc = index_look_read("orders", cases[i].body, strlen(cases[i].body), &look, &err);
        const char *fault = cases[i].fault != NULL ? cases[i].fault : "";
        if (strcmp(err.message, fault) != 0 || rc != (cases[i].fault != NULL ? -1 : 0))
            fail_msg("%s\ngives %d: %s", cases[i].body, rc, err.message);
    }
}

#define SETTINGS(uuid) "\"settings\":{\"index\":" uuid "}"
#define UUID_ONLY SETTINGS("{\"uuid\":\"u1\"}")
#define RESTORED SETTINGS("{\"uuid\":\"u1\",\"history\":{\"uuid\":\"h2\"}}")
#define TYPES(amount, created_at)                                                                  \
    "\"properties\":{\"amount\":{\"type\":\"" amount "\"},\"created_at\":{\"type\":\"" created_at  \
    "\"}}"
#define META "\"_meta\":{\"deployment\":\"d-1\",\"reindex\":17}"

static const struct {
    const char *body;
    struct index_look look;
    int rc;
} looks[] = {
    {"{\"orders\":{\"aliases\":{},\"mappings\":{" TYPES("float", "date") "}," UUID_ONLY "}}",
     {.form = INDEX_CONCRETE,
      .indices = 1,
      .name = "orders",
      .identity = "u1",
      .created_at_is_date = true,
      .amount_is_number = true,
      .amount_is_float = true},
     0},
    {"{\"orders-000002\":{\"aliases\":{\"orders\":{\"is_write_index\":true}},\"mappings\":{" META
     "," TYPES("double", "date_nanos") "}," RESTORED "}}",
     {.form = INDEX_ALIAS,
      .indices = 1,
      .name = "orders-000002",
      .identity = "u1/h2",
      .deployment = "d-1",
      .reindex_job = 17,
      .created_at_is_date = true,
      .amount_is_number = true},
     0},
    {"{\"a\":{\"aliases\":{\"orders\":{}}},\"b\":{\"aliases\":{\"orders\":{\"is_write_index\":"
     "true}},\"mappings\":{" TYPES("keyword", "text") "}," UUID_ONLY "}}",
     {.form = INDEX_ALIAS, .indices = 2, .name = "b", .identity = "u1"},
     0},
    /* one that cannot be written to is described all the same */
    {"{\"a\":{\"aliases\":{\"orders\":{}}},\"b\":{\"aliases\":{\"orders\":{}}}}",
     {.form = INDEX_ALIAS, .indices = 2},
     -1},
    {"{\"orders\":{\"mappings\":{" TYPES("date", "date") "}," UUID_ONLY "}}",
     {.form = INDEX_CONCRETE,
      .indices = 1,
      .name = "orders",
      .identity = "u1",
      .created_at_is_date = true},
     -1},
    {"<html>", {.form = INDEX_ABSENT}, -1},
};

static void test_which_index(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(looks); i++) {
        const struct index_look *expected = &looks[i].look;
        struct index_look look;
        struct error err;
        int rc = index_look_read("orders", looks[i].body, strlen(looks[i].body), &look, &err);
        assert_int_equal(rc, looks[i].rc);
        assert_int_equal(look.form, expected->form);
        assert_int_equal(look.indices, expected->indices);
        assert_string_equal(look.name, expected->name);
        assert_string_equal(look.identity, expected->identity);
        assert_string_equal(look.deployment, expected->deployment);
        assert_int_equal(look.reindex_job, expected->reindex_job);
        assert_int_equal(look.created_at_is_date, expected->created_at_is_date);
        assert_int_equal(look.amount_is_number, expected->amount_is_number);
        assert_int_equal(look.amount_is_float, expected->amount_is_float);
    }
}

static void test_absent(void **state)
{
    (void)state;
    assert_true(index_look_is_absent(404, "index_not_found_exception"));
    assert_false(index_look_is_absent(404, "")); /* a proxy's */
    assert_false(index_look_is_absent(503, "index_not_found_exception"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_which_index),
        cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
