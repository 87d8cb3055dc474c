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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(details_are_printable_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
