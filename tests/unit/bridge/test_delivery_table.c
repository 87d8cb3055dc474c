/* Random walks of the table against a plain array that is searched from end to end. */
#include "services/bridge/delivery_table.h"
#include "services/clients/rabbitmq/content.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>

#define CAPACITY 37
#define STEPS 200000

struct expected {
    uint64_t tag; /* 0: none */
    enum delivery_state state;
    enum stage stage;
    int64_t deadline_ms;
};

static size_t large_bytes;

static struct content *new_message(void)
{
    struct content_head head = {.body_size = 0};
    return content_new(&head, &large_bytes);
}

static bool has_deadline(enum delivery_state state)
{
    return state == DELIVERY_PUSHED || state == DELIVERY_HELD;
}

static void compare(const struct delivery_table *table, const struct expected *expected)
{
    size_t count = 0, waiting[STAGES] = {0};
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < CAPACITY; i++) {
        if (expected[i].tag == 0)
            continue;
        count++;
        const struct delivery *delivery = delivery_find(table, expected[i].tag);
        assert_non_null(delivery);
        assert_int_equal(delivery->tag, expected[i].tag);
        assert_int_equal(delivery->state, expected[i].state);
        assert_int_equal(delivery->stage, expected[i].stage);
        if (has_deadline(expected[i].state) && expected[i].deadline_ms < first_ms)
            first_ms = expected[i].deadline_ms;
        waiting[expected[i].stage] += expected[i].state == DELIVERY_WAITING;
    }
    assert_int_equal(table->count, count);
    const struct delivery *first = delivery_first_deadline(table);
    assert_int_equal(first != NULL ? first->deadline_ms : INT64_MAX, first_ms);

    uint64_t last_tag = 0;
    const struct delivery *delivery;
    TAILQ_FOREACH(delivery, &table->by_tag, by_tag)
    {
        assert_true(delivery->tag > last_tag);
        last_tag = delivery->tag;
        count--;
    }
    assert_int_equal(count, 0);
    for (size_t i = 0; i < STAGES; i++) {
        assert_int_equal(table->in_state[DELIVERY_WAITING][i], waiting[i]);
        TAILQ_FOREACH(delivery, &table->waiting[i], by_state)
        waiting[i]--;
        assert_int_equal(waiting[i], 0);
    }
}

static void test_random_walk(void **state)
{
    (void)state;
    struct delivery_table table;
    struct expected expected[CAPACITY] = {0};
    uint64_t next_tag = 1;
    delivery_table_init(&table, CAPACITY);
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        struct expected *slot = &expected[rand() % CAPACITY];
        if (slot->tag == 0) {
            assert_non_null(delivery_add(&table, next_tag, new_message(), step));
            *slot = (struct expected){next_tag++, DELIVERY_WAITING, STAGE_FIRST, 0};
        } else {
            struct delivery *delivery = delivery_find(&table, slot->tag);
            assert_non_null(delivery);
            slot->state = (enum delivery_state)(rand() % DELIVERY_STATES);
            slot->stage = (enum stage)(rand() % STAGES);
            slot->deadline_ms = rand() % 1000;
            if (has_deadline(slot->state) && !has_deadline(delivery->state))
                delivery->deadline_ms = slot->deadline_ms;
            slot->deadline_ms = delivery->deadline_ms;
            delivery_set_state(&table, delivery, slot->state, slot->stage);
            if (slot->state == DELIVERY_FREE)
                slot->tag = 0;
        }
        if (step % 16 == 0)
            compare(&table, expected);
        if (step % 20011 == 0) {
            delivery_table_clear(&table);
            for (size_t i = 0; i < CAPACITY; i++)
                expected[i].tag = 0;
            next_tag = 1;
        }
    }
    delivery_table_release(&table);
}

static void test_full_or_out_of_order(void **state)
{
    (void)state;
    struct delivery_table table;
    delivery_table_init(&table, 2);
    struct content *content = new_message();
    assert_non_null(delivery_add(&table, 3, content_ref(content), 0));
    assert_null(delivery_add(&table, 3, content, 0));
    assert_null(delivery_add(&table, 2, content, 0));
    assert_non_null(delivery_add(&table, 9, content_ref(content), 0));
    assert_null(delivery_add(&table, 10, content, 0));
    assert_null(delivery_find(&table, 10));
    delivery_table_release(&table);
    assert_int_equal(content->references, 1);
    content_unref(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_full_or_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
