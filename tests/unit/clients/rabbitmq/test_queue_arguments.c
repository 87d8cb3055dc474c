/* The words are those of RabbitMQ 3.10.8 and 4.0.5. */
#include "services/clients/rabbitmq/queue_arguments.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <string.h>

#define FAILED "PRECONDITION_FAILED - inequivalent arg "

static struct queue_arguments wanted(void)
{
    struct queue_arguments arguments = {.count = 0};
    queue_arguments_set_text(&arguments, "x-queue-type", "quorum");
    queue_arguments_set_number(&arguments, "x-delivery-limit", -1);
    return arguments;
}

static void learns_what_the_queue_has(void **state)
{
    (void)state;
    static const struct {
        const char *words, *name, *text; /* NULL: it has no such argument */
        int64_t number;
    } cases[] = {
        {FAILED "'x-delivery-limit' for queue 'q' in vhost '/': received the value '-1' of type "
                "'signedint' but current is none",
         "x-delivery-limit", NULL, 0},
        {FAILED "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is "
                "'classic'",
         "x-queue-type", "classic", 0},
        {FAILED "'x-max-length' for queue 'q' in vhost '/': received none but current is the "
                "value '10' of type 'signedint'",
         "x-max-length", "10", 10},
        {FAILED "'x-delivery-limit' for queue 'q' in vhost '/': received the value '-1' of type "
                "'long' but current is the value '5' of type 'long'",
         "x-delivery-limit", "5", 5},
        {FAILED "'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current "
                "is the value '' of type 'longstr'",
         "x-dead-letter-exchange", "", 0},
        {FAILED "'x-single-active-consumer' for queue 'q' in vhost '/': received none but current "
                "is the value 'true' of type 'bool'",
         "x-single-active-consumer", "true", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue_arguments arguments = wanted();
        assert_true(queue_arguments_learn(&arguments, cases[i].words));
        const struct queue_argument *found = queue_arguments_find(&arguments, cases[i].name);
        if (cases[i].text == NULL) {
            assert_null(found);
            continue;
        }
        assert_non_null(found);
        assert_string_equal(found->text, cases[i].text);
        assert_int_equal(found->number, cases[i].number);
    }
}

static void other_words_change_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {
        "",
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received "
        "'true' but current is",
        "PRECONDITION_FAILED - invalid arg 'x-delivery-limit' for queue 'q'",
        FAILED "'x-max-length' for queue 'q' in vhost '/': received none but current is the value "
               "'10' of type 'signed", /* cut */
        FAILED "'x-max-length",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct queue_arguments arguments = wanted(), before = wanted();
        assert_false(queue_arguments_learn(&arguments, words[i]));
        assert_memory_equal(&arguments, &before, sizeof before);
    }
}

static void has_a_limit(void **state)
{
    (void)state;
    struct queue_arguments arguments = {.count = 0};
    for (int i = 0; i < 2 * QUEUE_ARGUMENTS_MAX; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "x-%d", i);
        queue_arguments_set_number(&arguments, name, i);
    }
    assert_int_equal(arguments.count, QUEUE_ARGUMENTS_MAX);
    amqp_table_entry_t entries[QUEUE_ARGUMENTS_MAX];
    assert_int_equal(queue_arguments_table(&arguments, entries).num_entries, QUEUE_ARGUMENTS_MAX);
    queue_arguments_remove(&arguments, "x-3");
    queue_arguments_remove(&arguments, "x-3");
    assert_int_equal(arguments.count, QUEUE_ARGUMENTS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_the_queue_has),
        cmocka_unit_test(other_words_change_nothing),
        cmocka_unit_test(has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
