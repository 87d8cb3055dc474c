/* What a copy's checkpoint keeps. */
#include "services/scheduler/index/copy_progress.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

static struct copy_progress begun(void)
{
    struct copy_progress progress;
    copy_progress_init(&progress, NULL);
    assert_false(progress.begun);
    assert_int_equal(progress.total, -1);
    const struct order_pass pass = {
        .rows = 10, .by_transaction = true, .timeline = "77/00000001", .running_from = 700};
    copy_progress_begin(&progress, &pass, 1800000000000);
    return progress;
}

/* Through text, and back. */
static struct copy_progress again(struct copy_progress *progress)
{
    struct copy_progress read;
    char *text = copy_progress_to_text(progress);
    copy_progress_release(progress);
    copy_progress_init(&read, text);
    free(text);
    return read;
}

static void write_page(struct copy_progress *progress, size_t rows, size_t count, char *last_id)
{
    struct order_page *page = calloc(1, sizeof *page);
    assert_non_null(page);
    page->rows = rows;
    page->count = count;
    page->last_id = last_id;
    copy_progress_page(progress, page);
    free(page);
}

static void test_all_is_kept(void **state)
{
    (void)state;
    struct copy_progress progress = begun();
    write_page(&progress, 8, 7, (char[]){"it's \"the\" last"});
    progress.copied = 7;
    progress.passes = 2;
    progress.swapped_at = 900;
    copy_progress_refused(&progress, &(struct order_id){.bytes = {1}});
    progress = again(&progress);
    assert_true(progress.begun);
    assert_false(progress.ids_copied);
    assert_string_equal(progress.after, "it's \"the\" last");
    assert_string_equal(progress.timeline, "77/00000001");
    assert_int_equal(progress.since, 700);
    assert_int_equal(progress.looked_ms, 1800000000000);
    assert_int_equal(progress.swapped_at, 900);
    assert_int_equal(progress.done, 8);
    assert_int_equal(progress.total, 10);
    json_t *json = copy_progress_result(&progress);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"copied\":6,\"passes\":2,\"refused\":{\"count\":1,\"ids\":"
                              "[\"01000000-0000-0000-0000-000000000000\"]},"
                              "\"transactions_left\":false,\"unreadable\":1}");
    free(text);
    json_decref(json);
    progress.ids_copied = true;
    progress = again(&progress);
    assert_true(progress.ids_copied);
    copy_progress_release(&progress);
}

/* An id of a database that is not in UTF-8: the copy begins at the first id again, and its counts
 * of rows do, too. */
static void test_an_id_that_is_no_text(void **state)
{
    (void)state;
    struct copy_progress progress = begun();
    write_page(&progress, 8, 7, (char[]){"\xff"});
    progress = again(&progress);
    assert_true(progress.begun);
    assert_null(progress.after);
    assert_int_equal(progress.done, 0);
    assert_int_equal(progress.unreadable, 0);
    assert_int_equal(progress.since, 700);
    copy_progress_release(&progress);
}

static void test_a_view_has_no_timeline(void **state)
{
    (void)state;
    struct copy_progress progress;
    copy_progress_init(&progress, NULL);
    copy_progress_begin(&progress, &(struct order_pass){.rows = -1, .timeline = "77/00000001"}, 1);
    progress = again(&progress);
    assert_true(progress.begun);
    assert_string_equal(progress.timeline, "");
    assert_int_equal(progress.total, -1);
    copy_progress_release(&progress);
}

static void test_refused_ids(void **state)
{
    (void)state;
    struct copy_progress progress = begun();
    for (unsigned i = 0; i < 150; i++)
        for (int pass = 0; pass < 2; pass++)
            copy_progress_refused(&progress, &(struct order_id){.bytes = {(uint8_t)i}});
    assert_int_equal(progress.refused, 300);
    assert_int_equal(json_array_size(progress.refused_ids), COPY_REFUSED_IDS_MAX);
    copy_progress_release(&progress);
}

static void test_nonsense(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "null", "{}", "{\"timeline\":1}", "{\"after\":7,\"ids\":{}}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct copy_progress progress;
        copy_progress_init(&progress, texts[i]);
        assert_false(progress.begun);
        assert_null(progress.after);
        assert_int_equal(json_array_size(progress.refused_ids), 0);
        copy_progress_release(&progress);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_kept),
        cmocka_unit_test(test_an_id_that_is_no_text),
        cmocka_unit_test(test_a_view_has_no_timeline),
        cmocka_unit_test(test_refused_ids),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests_name("copy_progress", tests, NULL, NULL);
}
