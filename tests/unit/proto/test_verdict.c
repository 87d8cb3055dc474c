/* Verdicts: what is copied, cut and replaced. */
#include "proto/verdict.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void details_are_printable_and_cut(void **state)
{
    (void)state;
    char longer[2 * VERDICT_DETAIL_SIZE];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    struct verdict verdict;
    verdict_fail(&verdict, OUTCOME_REJECT, longer, "a\tb\x7f\xc3\xa9\n");
    assert_int_equal(strlen(verdict.code), VERDICT_CODE_SIZE - 1);
    assert_string_equal(verdict.detail, "a?b????");
    verdict_fail(&verdict, OUTCOME_REJECT, "c", longer);
    assert_int_equal(strlen(verdict.detail), VERDICT_DETAIL_SIZE - 1);
    assert_string_equal(verdict.detail + VERDICT_DETAIL_SIZE - 6, "xx...");
    longer[VERDICT_DETAIL_SIZE - 1] = '\0'; /* fits */
    verdict_fail(&verdict, OUTCOME_REJECT, "c", longer);
    assert_string_equal(verdict.detail, longer);
}

static void copies_are_equal(void **state)
{
    (void)state;
    char longer[2 * VERDICT_DETAIL_SIZE];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    const char *const texts[] = {"", "c", longer};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
            struct verdict verdict, copy;
            memset(&copy, 0xaa, sizeof(copy));
            verdict_fail(&verdict, OUTCOME_REJECT, texts[i], texts[k]);
            verdict_copy(&copy, &verdict);
            assert_int_equal(copy.outcome, OUTCOME_REJECT);
            assert_int_equal(copy.created_at_us, 0);
            assert_string_equal(copy.code, verdict.code);
            assert_string_equal(copy.detail, verdict.detail);
            verdict_done(&verdict, 7); /* over what has failed */
            verdict_copy(&copy, &verdict);
            assert_int_equal(copy.outcome, OUTCOME_DONE);
            assert_int_equal(copy.created_at_us, 7);
            assert_string_equal(copy.code, "");
            assert_string_equal(copy.detail, "");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(details_are_printable_and_cut),
        cmocka_unit_test(copies_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
