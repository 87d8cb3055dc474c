/* What a list of the indices says. */
#include "services/scheduler/index/index_listing.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define OURS "00000000-0000-4000-8000-000000000001"
#define ANOTHER "00000000-0000-4000-8000-000000000002"

static struct index_listing read_listing(const char *body)
{
    struct index_listing listing;
    struct error err = {.message = ""};
    if (index_listing_read("orders", body, strlen(body), &listing, &err) != 0)
        fail_msg("%s", err.message);
    return listing;
}

static void test_path(void **state)
{
    (void)state;
    char path[INDEX_LISTING_PATH_SIZE];
    index_listing_path("orders", path);
    assert_string_equal(path, "/orders,orders-*?expand_wildcards=all&ignore_unavailable=true"
                              "&allow_no_indices=true&filter_path=error,*.aliases,*.mappings._meta,"
                              "*.settings.index.uuid");
}

static void test_nothing(void **state)
{
    (void)state;
    struct index_listing listing = read_listing("{}");
    assert_int_equal(listing.count, 0);
    assert_int_equal(listing.next_number, 1);
    assert_null(index_listing_find(&listing, "orders"));
    assert_null(index_listing_foreign(&listing, OURS));
    index_listing_release(&listing);
}

static void test_indices(void **state)
{
    (void)state;
    struct index_listing listing = read_listing(
        "{\"orders-000003\":{\"aliases\":{\"orders\":{\"is_write_index\":true}},"
        "\"mappings\":{\"_meta\":{\"deployment\":\"" OURS "\"}}},"
        "\"other\":{\"aliases\":{\"orders\":{}}},"
        "\"orders-000004\":{\"aliases\":{\"orders-reindex-12\":{\"is_write_index\":true}},"
        "\"mappings\":{\"_meta\":{\"deployment\":\"" OURS "\",\"reindex\":12}}},"
        "\"orders-000005\":{\"aliases\":{\"orders-reindexed-13\":{},\"orders-reindex-12\":{}},"
        "\"mappings\":{\"_meta\":{\"reindex\":13}}},"
        "\"orders-000006-old\":{\"settings\":{\"index\":{\"uuid\":\"a\"}}}}");
    static const struct listed_index expected[] = {
        {.name = "orders-000003",
         .deployment = OURS,
         .in_use = true,
         .is_written = true,
         .numbered = true},
        {.name = "other", .in_use = true},
        {.name = "orders-000004",
         .deployment = OURS,
         .numbered = true,
         .built_by = 12,
         .is_open = true},
        {.name = "orders-000005", .numbered = true, .built_by = 13, .is_swapped = true},
        {.name = "orders-000006-old"},
    };
    assert_int_equal(listing.count, 5);
    assert_int_equal(listing.next_number, 6);
    for (size_t i = 0; i < 5; i++) {
        const struct listed_index *index = index_listing_find(&listing, expected[i].name);
        assert_non_null(index);
        assert_string_equal(index->deployment, expected[i].deployment);
        assert_int_equal(index->in_use, expected[i].in_use);
        assert_int_equal(index->is_written, expected[i].is_written);
        assert_int_equal(index->numbered, expected[i].numbered);
        assert_int_equal(index->built_by, expected[i].built_by);
        assert_int_equal(index->is_open, expected[i].is_open);
        assert_int_equal(index->is_swapped, expected[i].is_swapped);
        assert_false(index->is_concrete);
    }
    index_listing_release(&listing);
}

/* An alias of a single index needs no is_write_index. */
static void test_what_is_written(void **state)
{
    static const struct {
        const char *body;
        const char *name;
        bool is_written;
    } cases[] = {
        {"{\"orders\":{}}", "orders", true},
        {"{\"orders-000001\":{\"aliases\":{\"orders\":{}}}}", "orders-000001", true},
        {"{\"a\":{\"aliases\":{\"orders\":{\"is_write_index\":false}}}}", "a", false},
        {"{\"a\":{\"aliases\":{\"orders\":{}}},\"b\":{\"aliases\":{\"orders\":{}}}}", "b", false},
        {"{\"a\":{\"aliases\":{\"orders\":{}}},\"orders-000001\":{\"aliases\":{}}}", "a", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct index_listing listing = read_listing(cases[i].body);
        const struct listed_index *index = index_listing_find(&listing, cases[i].name);
        assert_true(index->in_use);
        assert_int_equal(index->is_written, cases[i].is_written);
        assert_int_equal(index->is_concrete, strcmp(index->name, "orders") == 0);
        index_listing_release(&listing);
    }
}

static void test_foreign(void **state)
{
    (void)state;
    struct index_listing listing = read_listing(
        "{\"orders-000001\":{\"aliases\":{\"orders\":{}}},\"orders-000002\":{\"mappings\":"
        "{\"_meta\":{\"deployment\":\"" ANOTHER "\"}}},\"orders-000003\":{\"aliases\":"
        "{\"orders\":{}},\"mappings\":{\"_meta\":{\"deployment\":\"" OURS "\"}}}}");
    assert_null(index_listing_foreign(&listing, OURS)); /* one that is not in use is no matter */
    assert_string_equal(index_listing_foreign(&listing, ANOTHER)->name, "orders-000003");
    index_listing_release(&listing);
}

static void test_bad_answers(void **state)
{
    static const char *const bodies[] = {"", "[]", "{\"orders", "{\"orders-999999\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct index_listing listing;
        struct error err = {.message = ""};
        assert_int_equal(index_listing_read("orders", bodies[i], strlen(bodies[i]), &listing, &err),
                         -1);
        assert_true(err.message[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),    cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_indices), cmocka_unit_test(test_what_is_written),
        cmocka_unit_test(test_foreign), cmocka_unit_test(test_bad_answers),
    };
    return cmocka_run_group_tests_name("the list of the indices", tests, NULL, NULL);
}
