/* A scheduler goes on with what another one has noted. */
#include "services/base/memory.h"
#include "services/scheduler/index/reindex_checkpoint.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

static void test_there_and_back(void **state)
{
    (void)state;
    for (enum reindex_phase phase = REINDEX_MAKE; phase < REINDEX_PHASES; phase++) {
        struct reindex_checkpoint noted = {
            .phase = phase,
            .name = "orders-000002",
            .identity = "a/b",
            .done = 12,
            .total = INT64_C(1) << 40,
            .copy = memory_copy_text("{\"after\":\"x\"}"),
            .copied = json_pack("{s:i,s:{s:i}}", "copied", 12, "refused", "count", 1),
            .old_count = 2,
            .old = {{"orders-000001", true}, {"other", false}},
            .old_kept = true,
        };
        char *text = reindex_checkpoint_write(&noted);
        struct reindex_checkpoint read;
        reindex_checkpoint_read(text, &read);
        assert_int_equal(read.phase, phase);
        assert_string_equal(read.name, noted.name);
        assert_string_equal(read.identity, noted.identity);
        assert_int_equal(read.done, noted.done);
        assert_int_equal(read.total, noted.total);
        assert_string_equal(read.copy, noted.copy);
        assert_null(read.compare);
        assert_null(read.failure);
        assert_true(json_equal(read.copied, noted.copied));
        assert_int_equal(read.old_count, 2);
        assert_string_equal(read.old[0].name, "orders-000001");
        assert_true(read.old[0].ours);
        assert_string_equal(read.old[1].name, "other");
        assert_false(read.old[1].ours);
        assert_true(read.old_kept);
        char *again = reindex_checkpoint_write(&read);
        assert_string_equal(again, text);
        free(again);
        free(text);
        reindex_checkpoint_release(&read);
        reindex_checkpoint_release(&noted);
    }
}

static void test_the_beginning(void **state)
{
    static const char *const texts[] = {NULL, "", "7", "{}", "{\"phase\":7}", "{\"phase\":\"x\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct reindex_checkpoint read;
        reindex_checkpoint_read(texts[i], &read);
        assert_int_equal(read.phase, REINDEX_MAKE);
        assert_string_equal(read.name, "");
        char *result = reindex_checkpoint_result(&read);
        assert_string_equal(result, "{\"phase\":\"making the index\"}");
        free(result);
        reindex_checkpoint_release(&read);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_the_beginning),
    };
    return cmocka_run_group_tests_name("the checkpoint of a reindex", tests, NULL, NULL);
}
