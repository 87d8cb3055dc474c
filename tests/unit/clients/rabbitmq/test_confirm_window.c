#include "services/clients/rabbitmq/confirm_window.h"
#include "services/clients/rabbitmq/publisher.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct publish_request request_for(const char *message_id)
{
    return (struct publish_request){.routing_key = "orders", .message_id = message_id};
}

static void returned(struct confirm_window *window, const char *message_id)
{
    confirm_window_mark_returned(window, message_id, strlen(message_id), "orders", 6);
}

static void settles_in_any_order_and_once(void **state)
{
    (void)state;
    struct confirm_window window;
    confirm_window_init(&window, 3); /* rounded up to 4 */
    struct publish_request requests[4];
    for (int i = 0; i < 4; i++) {
        assert_false(confirm_window_full(&window));
        requests[i] = request_for("id");
        confirm_window_add(&window, &requests[i], 100 + i);
    }
    assert_true(confirm_window_full(&window));

    struct sent_message message;
    assert_true(confirm_window_settle(&window, 2, &message));
    assert_ptr_equal(message.request, &requests[1]);
    assert_int_equal(message.sent_us, 101);
    assert_false(message.again);
    assert_false(message.returned);
    assert_false(confirm_window_settle(&window, 2, &message));
    assert_true(confirm_window_full(&window)); /* tag 1 is the oldest still */
    assert_true(confirm_window_settle(&window, 1, &message));
    assert_int_equal(window.first, 3);
    assert_false(confirm_window_full(&window));
    assert_false(confirm_window_settle(&window, 0, &message));
    assert_false(confirm_window_settle(&window, 5, &message));
    assert_non_null(confirm_window_peek(&window, 3));
    assert_null(confirm_window_peek(&window, 2));
    confirm_window_release(&window);
}

static void recognises_returned_messages(void **state)
{
    (void)state;
    struct confirm_window window;
    confirm_window_init(&window, 8);
    const char *ids[] = {"a", "b", "a", NULL, "a", "b"};
    struct publish_request requests[6];
    for (int i = 0; i < 6; i++) {
        requests[i] = request_for(ids[i]);
        confirm_window_add(&window, &requests[i], 0);
    }
    struct sent_message message;
    assert_true(confirm_window_settle(&window, 1, &message)); /* the first "a" was routed, */
    returned(&window, "a");                                   /* so this is the second */
    returned(&window, "");
    returned(&window, "b"); /* in the order of publishing: not tag 2 */
    returned(&window, "unheard of");
    const bool expected[] = {[2] = false, [3] = true, [4] = true, [5] = false, [6] = true};
    for (uint64_t tag = 2; tag <= 6; tag++) {
        assert_true(confirm_window_settle(&window, tag, &message));
        if (message.returned != expected[tag])
            fail_msg("tag %d", (int)tag);
    }
    confirm_window_release(&window);
}

static void late_returns_of_expired_messages_hit_nobody_else(void **state)
{
    (void)state;
    struct confirm_window window;
    confirm_window_init(&window, 4);
    struct publish_request expired = request_for("same"), fresh = request_for("same");
    struct sent_message message;
    confirm_window_add(&window, &expired, 0);
    assert_true(confirm_window_expire(&window, 1, &message));
    confirm_window_add(&window, &fresh, 0);
    returned(&window, "same");
    assert_false(confirm_window_settle(&window, 1, &message));
    assert_true(confirm_window_settle(&window, 2, &message));
    assert_ptr_equal(message.request, &fresh);
    assert_false(message.returned);
    confirm_window_release(&window);
}

static void same_message_id_on_other_queues_is_another_message(void **state)
{
    (void)state;
    struct confirm_window window;
    confirm_window_init(&window, 4);
    struct publish_request other = {.routing_key = "orders.dead", .message_id = "id"};
    struct publish_request own = request_for("id");
    confirm_window_add(&window, &other, 0);
    confirm_window_add(&window, &own, 0);
    returned(&window, "id");
    assert_false(confirm_window_peek(&window, 1)->returned);
    assert_true(confirm_window_peek(&window, 2)->returned);
    confirm_window_release(&window);
}

/* Against the plainest model there is: an array by tag. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    enum { TAGS = 100000, CAPACITY = 64 };
    static struct publish_request requests[TAGS + 1];
    static bool answered[TAGS + 1];
    struct confirm_window window;
    confirm_window_init(&window, CAPACITY);
    srand(7);
    uint64_t next = 1, oldest = 1;
    while (next <= TAGS) {
        if (rand() % 2 && next - oldest < CAPACITY) {
            requests[next] = request_for("id");
            confirm_window_add(&window, &requests[next], (int64_t)next);
            next++;
        } else if (next > oldest) {
            uint64_t tag = oldest + (uint64_t)rand() % (next - oldest);
            struct sent_message message;
            bool found = rand() % 4 ? confirm_window_settle(&window, tag, &message)
                                    : confirm_window_expire(&window, tag, &message);
            assert_int_equal(found, !answered[tag]);
            if (found) {
                assert_ptr_equal(message.request, &requests[tag]);
                assert_int_equal(message.sent_us, tag);
            }
            answered[tag] = true;
            while (oldest < next && answered[oldest])
                oldest++;
        }
        assert_int_equal(window.first, oldest);
        assert_int_equal(confirm_window_full(&window), next - oldest == CAPACITY);
    }
    confirm_window_release(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settles_in_any_order_and_once),
        cmocka_unit_test(recognises_returned_messages),
        cmocka_unit_test(late_returns_of_expired_messages_hit_nobody_else),
        cmocka_unit_test(same_message_id_on_other_queues_is_another_message),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
