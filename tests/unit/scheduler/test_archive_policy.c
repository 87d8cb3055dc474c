#include "services/scheduler/archive_policy.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static struct archive_standing well(void)
{
    return (struct archive_standing){.queue = "order_queue",
                                     .rabbitmq_up = true,
                                     .postgres_up = true,
                                     .rabbitmq_reason = "refused",
                                     .bytes = 99,
                                     .max_bytes = 100,
                                     .counted = true,
                                     .consumers = 2,
                                     .schedulers = 2};
}

static void test_each_fault_is_told(void **state)
{
    (void)state;
    struct archive_standing cases[13];
    for (size_t i = 0; i < COUNT(cases); i++)
        cases[i] = well();
    cases[1].postgres_up = false;
    cases[2].rabbitmq_up = false;
    cases[3].refused = "no such column";
    cases[4].delivery_limited = true;
    cases[5].limit_unseen = true;
    cases[6].delivery_limited = cases[6].unlimited = true;
    cases[7].bytes = 100;
    cases[8].counted = false;
    cases[9].consumers = 3;
    cases[10].schedulers = 3; /* one has just begun */
    cases[11].counted = false;
    cases[11].bytes = 100;
    cases[12].rabbitmq_up = false;
    cases[12].rabbitmq_reason = "";
    static const struct {
        const char *name, *words;
    } expected[COUNT(cases)] = {
        {NULL, ""},
        {"no_postgres", "no connection to PostgreSQL"},
        {"no_rabbitmq", "order_queue.dead: no connection to RabbitMQ: refused"},
        {"refused", "PostgreSQL refuses dead letters: no such column"},
        {"delivery_limit", "order_queue.dead: RabbitMQ drops a letter that was delivered 20 times;"
                           " when a policy lifts that limit, set DEAD_LETTER_ARCHIVE=unlimited"},
        {"delivery_limit", "order_queue.dead: RabbitMQ may drop a letter that was delivered 20"
                           " times; when a policy lifts that limit, set"
                           " DEAD_LETTER_ARCHIVE=unlimited"},
        {NULL, ""},
        {"full", "the archive has 100 bytes, and DEAD_LETTER_ARCHIVE_MAX is 100"},
        {NULL, ""},
        {"foreign_consumer", "order_queue.dead: 1 of its 3 consumers are no schedulers"},
        {NULL, ""},
        {"full", "the archive has 100 bytes, and DEAD_LETTER_ARCHIVE_MAX is 100"},
        {NULL, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error words;
        enum archive_fault fault = archive_judge(&cases[i]);
        const char *name = archive_fault_name(fault);
        archive_fault_tell(fault, &cases[i], &words);
        assert_string_equal(words.message, expected[i].words);
        assert_true((name == NULL) == (expected[i].name == NULL));
        if (name != NULL)
            assert_string_equal(name, expected[i].name);
    }
    assert_int_equal(archive_judge(&cases[0]), ARCHIVE_WELL);
    assert_int_equal(archive_judge(&cases[8]), ARCHIVE_UNCOUNTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_fault_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
