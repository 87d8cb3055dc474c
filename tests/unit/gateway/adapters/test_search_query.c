/* The bodies as Elasticsearch reads them. */
#include "services/gateway/adapters/search_query.h"
#include "tests/unit/support/cmocka_headers.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define E_COMPOSED "\xc3\xa9"
#define E_DECOMPOSED "e\xcc\x81"
#define FORMS_MAX 3

static json_t *ask(const char *term, size_t len)
{
    size_t query_len;
    char *query = search_query_new(term, len, 20, 40, &query_len);
    assert_int_equal(strlen(query), query_len);
    json_t *body = json_loadb(query, query_len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(body);
    free(query);
    assert_int_equal(json_object_size(body), 4);
    assert_int_equal(json_integer_value(json_object_get(body, "size")), 20);
    assert_int_equal(json_integer_value(json_object_get(body, "from")), 40);
    assert_true(json_is_true(json_object_get(body, "track_total_hits")));
    return body;
}

static const char *term_of(json_t *query)
{
    const char *term;
    assert_int_equal(json_unpack(query, "{s:{s:s!}!}", "match", "product_name", &term), 0);
    return term;
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *term;
        const char *forms[FORMS_MAX + 1];
    } cases[] = {
        {"laptop", {"laptop"}},
        {"a\"\\\x01z", {"a\"\\\x01z"}},
        {"\xf0\x9f\x9b\x92 \xe2\x82\xac", {"\xf0\x9f\x9b\x92 \xe2\x82\xac"}}, /* no other form */
        {"caf" E_COMPOSED, {"caf" E_COMPOSED, "caf" E_DECOMPOSED}},
        {"caf" E_DECOMPOSED, {"caf" E_DECOMPOSED, "caf" E_COMPOSED}},
        {E_COMPOSED E_DECOMPOSED,
         {E_COMPOSED E_DECOMPOSED, E_COMPOSED E_COMPOSED, E_DECOMPOSED E_DECOMPOSED}},
        {"\xed\x95\x9c", {"\xed\x95\x9c", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"}}, /* Hangul */
        {"\xe1\xba\xbf", {"\xe1\xba\xbf", "e\xcc\x82\xcc\x81"}},                    /* two marks */
        {"\xe2\x84\xab", {"\xe2\x84\xab", "\xc3\x85", "A\xcc\x8a"}}, /* the sign Angstrom */
        {"\xef\xac\x81", {"\xef\xac\x81"}}, /* a ligature: only compatible, so another word */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *body = ask(cases[i].term, strlen(cases[i].term)), *forms = NULL;
        json_t *query = json_object_get(body, "query");
        if (cases[i].forms[1] == NULL) {
            assert_string_equal(term_of(query), cases[i].forms[0]);
            json_decref(body);
            continue;
        }
        assert_int_equal(json_unpack(query, "{s:{s:o!}!}", "dis_max", "queries", &forms), 0);
        size_t count = 0;
        for (; cases[i].forms[count] != NULL; count++)
            assert_string_equal(term_of(json_array_get(forms, count)), cases[i].forms[count]);
        assert_int_equal(json_array_size(forms), count);
        json_decref(body);
    }
}

/* The route lets none of these through. */
static void test_not_utf8(void **state)
{
    (void)state;
    json_t *body = ask("caf" E_COMPOSED "\xff", 6);
    assert_string_equal(term_of(json_object_get(body, "query")), "caf" E_COMPOSED "\xef\xbf\xbd");
    json_decref(body);
}

/* Marks that must all be put in order, as many as a request's target has room for: the work would
 * grow with their square. */
static void test_marks(void **state)
{
    (void)state;
    static const size_t counts[] = {30, 31, 4095};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        static char term[8192] = "a";
        for (size_t j = 0; j < counts[i]; j++)
            memcpy(term + 1 + 2 * j, j < counts[i] / 2 ? "\xcc\x81" : "\xcc\xa7", 2);
        json_t *body = ask(term, 1 + 2 * counts[i]);
        bool forms = json_object_get(json_object_get(body, "query"), "dis_max") != NULL;
        assert_int_equal(forms, counts[i] == 30);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
