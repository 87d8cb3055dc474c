/* What counts as a difference. */
#include "services/scheduler/index/compare_candidates.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static struct order make_order(const char *name, int64_t cents, int64_t created_at_us)
{
    struct order order = {.amount_cents = cents, .created_at_us = created_at_us};
    order.id.bytes[0] = 7;
    order_set_name(&order, name, strlen(name));
    return order;
}

/* `row`: ' ' none, 'o' the order, 'x' one that no order can be. `document`: ' ' none, 'o' the
 * order, 'n' another name, 'a' another amount, 'i' another instant, 'x' no order
 * of this id.
 * `again`: with an order, or without, at the first look. */
static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        char row, document;
        enum compare_verdict first, had_order, had_none;
    } cases[] = {
        {' ', ' ', COMPARE_SAME, COMPARE_SAME, COMPARE_SAME},
        {'o', 'o', COMPARE_SAME, COMPARE_SAME, COMPARE_SAME},
        /* A row that was not there half a minute ago has its document soon. */
        {'o', ' ', COMPARE_MISSING, COMPARE_MISSING, COMPARE_SAME},
        {'o', 'n', COMPARE_DIFFERENT, COMPARE_DIFFERENT, COMPARE_SAME},
        {'o', 'a', COMPARE_DIFFERENT, COMPARE_DIFFERENT, COMPARE_SAME},
        {'o', 'i', COMPARE_DIFFERENT, COMPARE_DIFFERENT, COMPARE_SAME},
        {'o', 'x', COMPARE_DIFFERENT, COMPARE_DIFFERENT, COMPARE_SAME},
        /* An order that was there has been deleted just now: the next comparison says it. */
        {' ', 'o', COMPARE_EXTRA, COMPARE_SAME, COMPARE_EXTRA},
        {' ', 'x', COMPARE_EXTRA, COMPARE_SAME, COMPARE_EXTRA},
        /* What cannot be indexed is not missing, and explains what is there. */
        {'x', ' ', COMPARE_SAME, COMPARE_SAME, COMPARE_SAME},
        {'x', 'o', COMPARE_SAME, COMPARE_SAME, COMPARE_SAME},
        {'x', 'x', COMPARE_SAME, COMPARE_SAME, COMPARE_SAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct order_row row = {.is_order = cases[i].row == 'o',
                                .order = make_order("Tea", 250, 1000000)};
        const struct order_row *found = cases[i].row == ' ' ? NULL : &row;
        struct document document = {.state = DOCUMENT_ORDER, .order = row.order};
        switch (cases[i].document) {
        case ' ':
            document.state = DOCUMENT_ABSENT;
            break;
        case 'x':
            document.state = DOCUMENT_OTHER;
            break;
        case 'n':
            order_set_name(&document.order, "Tee", 3);
            break;
        case 'a':
            document.order.amount_cents++;
            break;
        case 'i':
            document.order.created_at_us++;
            break;
        }
        assert_int_equal(compare_sides(found, &document, 6), cases[i].first);
        assert_int_equal(
            compare_again(&(struct compare_candidate){.had_order = true}, found, &document, 6),
            cases[i].had_order);
        assert_int_equal(
            compare_again(&(struct compare_candidate){.had_order = false}, found, &document, 6),
            cases[i].had_none);
    }
}

/* A column of milliseconds has cut what the document has. */
static void test_digits(void **state)
{
    (void)state;
    struct order_row row = {.is_order = true, .order = make_order("Tea", 250, 1234000)};
    struct document document = {.state = DOCUMENT_ORDER, .order = make_order("Tea", 250, 1234321)};
    assert_int_equal(compare_sides(&row, &document, 6), COMPARE_DIFFERENT);
    assert_int_equal(compare_sides(&row, &document, 3), COMPARE_SAME);
}

static void test_list(void **state)
{
    (void)state;
    struct compare_candidates candidates;
    compare_candidates_init(&candidates);
    compare_candidates_add(&candidates, "b", 1,
                           &(struct compare_candidate){.had_order = false, .seq_no = 5});
    compare_candidates_add(&candidates, "", 0, &(struct compare_candidate){.had_order = true});
    compare_candidates_add(&candidates, "a", 1, &(struct compare_candidate){.had_order = true});
    compare_candidates_add(&candidates, "b", 1, &(struct compare_candidate){.had_order = true});
    compare_candidates_settle(&candidates);
    assert_int_equal(candidates.count, 3);
    assert_string_equal(compare_candidates_id(&candidates, 0), "");
    assert_string_equal(compare_candidates_id(&candidates, 1), "a");
    assert_string_equal(compare_candidates_id(&candidates, 2), "b");
    assert_true(candidates.list[2].had_order);

    compare_candidates_clear(&candidates);
    compare_candidates_settle(&candidates);
    assert_int_equal(candidates.count, 0);
    compare_candidates_release(&candidates);
}

/* By their number, and by the length of their ids. */
static void test_room(void **state)
{
    (void)state;
    static const struct {
        size_t len, at_least;
    } cases[] = {{36, COMPARE_CANDIDATES_MAX}, {DOCUMENT_ID_SIZE - 1, 16000}};
    char id[DOCUMENT_ID_SIZE];
    memset(id, 'i', sizeof id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct compare_candidates candidates;
        compare_candidates_init(&candidates);
        while (compare_candidates_fit(&candidates, 1))
            compare_candidates_add(&candidates, id, cases[i].len,
                                   &(struct compare_candidate){.had_order = true});
        assert_in_range(candidates.count, cases[i].at_least, COMPARE_CANDIDATES_MAX);
        compare_candidates_settle(&candidates);
        assert_int_equal(candidates.count, 1);
        compare_candidates_release(&candidates);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
