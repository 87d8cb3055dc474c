/* The task on fakes of all that it touches: loop, clock, database and queue. Nothing waits. */
#include "proto/order_json.h"
#include "services/base/clock.h"
#include "services/base/metrics.h"
#include "services/gateway/outbox_task.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the loop and the clock ---- */

struct loop_timer {
    loop_expired_fn *on_expired;
    void *arg;
    int64_t due_ms; /* -1: stopped */
};

struct loop_watch {
    loop_ready_fn *on_ready;
    void *arg;
};

static int64_t now_ms;
static struct loop_timer timers[2];
static int timer_count;
static struct loop_watch watch;

int64_t clock_monotonic_ms(void)
{
    return now_ms;
}

int64_t clock_monotonic_us(void)
{
    return now_ms * 1000;
}

struct loop_timer *event_loop_timer(struct event_loop *loop, loop_expired_fn *on_expired, void *arg)
{
    (void)loop;
    struct loop_timer *timer = &timers[timer_count++];
    *timer = (struct loop_timer){on_expired, arg, -1};
    return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms)
{
    timer->due_ms = now_ms + delay_ms;
}

void loop_timer_stop(struct loop_timer *timer)
{
    timer->due_ms = -1;
}

bool loop_timer_running(const struct loop_timer *timer)
{
    return timer->due_ms >= 0;
}

void loop_timer_free(struct loop_timer *timer)
{
    timer->due_ms = -1;
}

struct loop_watch *event_loop_watch(struct event_loop *loop, int fd, loop_ready_fn *on_ready,
                                    void *arg)
{
    (void)loop, (void)fd;
    watch = (struct loop_watch){on_ready, arg};
    return &watch;
}

void loop_watch_want(struct loop_watch *wanted, bool readable, bool writable)
{
    assert_ptr_equal(wanted, &watch);
    assert_true(readable);
    assert_false(writable);
}

void loop_watch_free(struct loop_watch *freed)
{
    assert_ptr_equal(freed, &watch);
}

static void advance(int64_t ms)
{
    for (int64_t until_ms = now_ms + ms; now_ms <= until_ms; now_ms++)
        for (int i = 0; i < timer_count; i++)
            if (timers[i].due_ms >= 0 && timers[i].due_ms <= now_ms) {
                timers[i].due_ms = -1;
                timers[i].on_expired(timers[i].arg);
            }
    now_ms--;
}

/* ---- the database ---- */

static struct {
    bool connected;
    outbox_taken_fn *on_taken; /* a batch is being taken */
    database_done_fn *on_done; /* a batch is being finished */
    void *arg;
    bool published, backlog_lost;
    unsigned takes, finishes;
    struct order orders[OUTBOX_BATCH];
    struct trace_id traces[OUTBOX_BATCH];
} database;

static const struct database_answer ok = {.status = DATABASE_OK};
static const struct database_answer lost = {.status = DATABASE_UNAVAILABLE, .message = "lost"};

struct database *database_new(struct event_loop *loop, const struct database_options *options)
{
    (void)loop, (void)options;
    return (struct database *)&database;
}

void database_free(struct database *freed)
{
    assert_ptr_equal(freed, &database);
}

int outbox_take(struct database *taker, outbox_taken_fn *on_taken, void *arg)
{
    assert_ptr_equal(taker, &database);
    assert_null(database.on_taken);
    assert_null(database.on_done);
    if (!database.connected)
        return -1;
    database.takes++;
    database.on_taken = on_taken;
    database.arg = arg;
    return 0;
}

int outbox_finish(struct database *finisher, const struct outbox_batch *batch, bool published,
                  database_done_fn *on_done, void *arg)
{
    assert_ptr_equal(finisher, &database);
    assert_non_null(batch);
    assert_null(database.on_done);
    if (!database.connected)
        return -1;
    database.finishes++;
    database.on_done = on_done;
    database.arg = arg;
    database.published = published;
    return 0;
}

int outbox_backlog(struct database *reader, outbox_backlog_fn *on_done, void *arg)
{
    (void)reader;
    const struct outbox_backlog backlog = {.orders = 7, .oldest_seconds = 42};
    on_done(arg, &backlog, database.backlog_lost ? &lost : &ok);
    return 0;
}

static void hand_out(size_t count, const struct database_answer *answer)
{
    outbox_taken_fn *on_taken = database.on_taken;
    assert_non_null(on_taken);
    database.on_taken = NULL;
    struct outbox_batch *batch = calloc(1, sizeof *batch + count * ORDER_JSON_SIZE);
    assert_non_null(batch);
    char *text = batch->text;
    for (size_t i = 0; i < count; i++) {
        struct order *order = &database.orders[i];
        order->id.bytes[15] = (uint8_t)i;
        order->id.bytes[14] = (uint8_t)(i >> 8);
        order->amount_cents = 100;
        order_set_name(order, "Laptop", 6);
        size_t len = order_to_json(order, text);
        batch->rows[batch->count++] = (struct outbox_row){
            .seq = (int64_t)i,
            .order_id = order->id,
            .json = text,
            .json_len = len,
            .trace = trace_context_begin(),
            .replay_of = 100 + (int64_t)i,
        };
        database.traces[i] = batch->rows[i].trace.id;
        text += len;
    }
    if (count == 0) {
        free(batch);
        batch = NULL;
    }
    on_taken(database.arg, batch, answer);
}

static void finish(const struct database_answer *answer)
{
    database_done_fn *on_done = database.on_done;
    assert_non_null(on_done);
    database.on_done = NULL;
    on_done(database.arg, answer);
}

/* ---- the queue ---- */

static struct {
    bool accepts;
    size_t room; /* of the window */
    size_t published;
    struct {
        order_queue_done_fn *on_done;
        void *arg;
    } waiting[OUTBOX_BATCH];
} queue;

static int publish(void *self, const struct order_message *message, int64_t deadline_ms,
                   order_queue_done_fn *on_done, void *arg)
{
    (void)self;
    if (queue.room == 0)
        return -1;
    struct order order;
    struct error err;
    assert_int_equal(order_from_json(message->json, message->json_len, &order, &err), DECODE_OK);
    assert_true(order_id_equal(&order.id, message->id));
    assert_int_equal(message->replay_of, 100 + queue.published);
    assert_memory_equal(&message->trace->id, &database.traces[queue.published],
                        sizeof message->trace->id);
    assert_true(order_equal(&order, &database.orders[queue.published]));
    assert_in_range(deadline_ms, now_ms + 1, now_ms + 10000);
    queue.waiting[queue.published].on_done = on_done;
    queue.waiting[queue.published].arg = arg;
    queue.published++;
    queue.room--;
    return 0;
}

static bool accepts(void *self)
{
    (void)self;
    return queue.accepts;
}

static void answer(size_t from, size_t to, enum publish_result result)
{
    for (size_t i = from; i < to; i++)
        queue.waiting[i].on_done(queue.waiting[i].arg, result);
}

/* ---- the tests ---- */

static struct order_queue port = {.publish = publish, .accepts = accepts};
static struct outbox_task *task;
static int wake_fd;

static int set_up(void **state)
{
    (void)state;
    now_ms = 1000;
    timer_count = 0;
    memset(&database, 0, sizeof database);
    memset(&queue, 0, sizeof queue);
    database.connected = true;
    queue.accepts = true;
    queue.room = OUTBOX_BATCH;
    wake_fd = eventfd(0, EFD_NONBLOCK);
    task = outbox_task_new(NULL, &(struct outbox_task_options){.queue = &port, .wake_fd = wake_fd});
    advance(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    outbox_task_free(task);
    close(wake_fd);
    return 0;
}

static void wake(void)
{
    watch.on_ready(watch.arg, true, false);
}

static void assert_metrics(const char *lines)
{
    size_t len;
    char *text = metrics_render(&len);
    if (strstr(text, lines) == NULL)
        fail_msg("no \"%s\" in\n%s", lines, text);
    free(text);
}

static void tells_what_waits(void **state)
{
    (void)state;
    assert_metrics("\noutbox_orders 7\n");
    assert_metrics("\noutbox_oldest_age_seconds 42\n");
    database.backlog_lost = true;
    advance(6000);
    assert_metrics("\noutbox_orders NaN\n");
    assert_metrics("\noutbox_oldest_age_seconds NaN\n");
}

static void looks_every_second_and_when_woken(void **state)
{
    (void)state;
    assert_int_equal(database.takes, 1);
    hand_out(0, &ok);
    advance(900);
    assert_int_equal(database.takes, 1);
    advance(200);
    assert_int_equal(database.takes, 2);
    wake(); /* while it looks: once more afterwards */
    hand_out(0, &ok);
    assert_int_equal(database.takes, 3);
    hand_out(0, &ok);
    wake();
    assert_int_equal(database.takes, 4);
    hand_out(0, &ok);
    assert_int_equal(database.finishes, 0);
}

/* Another program's orders, such as a replay's, come one after the other. */
static void looks_more_often_after_orders(void **state)
{
    (void)state;
    hand_out(1, &ok);
    answer(0, 1, PUBLISH_CONFIRMED);
    finish(&ok);
    unsigned takes = database.takes;
    for (int64_t wait_ms = 50; wait_ms < 1000; wait_ms *= 2) {
        advance(wait_ms - 1);
        assert_int_equal(database.takes, takes);
        advance(1);
        assert_int_equal(database.takes, ++takes);
        hand_out(0, &ok);
    }
    for (int i = 0; i < 3; i++) {
        advance(999);
        assert_int_equal(database.takes, takes);
        advance(1);
        assert_int_equal(database.takes, ++takes);
        hand_out(0, &ok);
    }
}

static void deletes_only_after_all_confirms(void **state)
{
    (void)state;
    hand_out(3, &ok);
    assert_int_equal(queue.published, 3);
    answer(0, 2, PUBLISH_CONFIRMED);
    assert_int_equal(database.finishes, 0);
    answer(2, 3, PUBLISH_CONFIRMED);
    assert_int_equal(database.finishes, 1);
    assert_true(database.published);
    finish(&ok);
    advance(1100);
    assert_int_equal(database.takes, 2);
}

static void takes_the_next_batch_at_once_after_a_full_one(void **state)
{
    (void)state;
    hand_out(OUTBOX_BATCH, &ok);
    answer(0, OUTBOX_BATCH, PUBLISH_CONFIRMED);
    finish(&ok);
    assert_int_equal(database.takes, 2);
}

static void ends_the_lease_and_waits_when_one_is_not_confirmed(void **state)
{
    (void)state;
    const enum publish_result failures[] = {PUBLISH_REFUSED, PUBLISH_UNKNOWN};
    for (int i = 0; i < 2; i++) {
        queue.published = 0;
        hand_out(3, &ok);
        answer(0, 1, failures[i]);
        answer(1, 2, PUBLISH_CONFIRMED);
        assert_null(database.on_done); /* one is still out */
        answer(2, 3, PUBLISH_CONFIRMED);
        assert_false(database.published);
        unsigned takes = database.takes;
        finish(&ok);
        wake(); /* does not shorten the wait */
        assert_int_equal(database.takes, takes);
        advance(5000);
        assert_int_equal(database.takes, takes + 1);
    }
}

static void goes_on_when_the_window_was_full(void **state)
{
    (void)state;
    queue.room = 2;
    hand_out(5, &ok);
    assert_int_equal(queue.published, 2);
    answer(0, 2, PUBLISH_CONFIRMED);
    assert_int_equal(database.finishes, 0);
    queue.room = 10;
    advance(50);
    assert_int_equal(queue.published, 5);
    answer(2, 5, PUBLISH_CONFIRMED);
    assert_true(database.published);
    finish(&ok);
}

static void gives_up_when_the_window_stays_full(void **state)
{
    (void)state;
    queue.room = 1;
    hand_out(5, &ok);
    answer(0, 1, PUBLISH_CONFIRMED);
    advance(4000);
    assert_int_equal(database.finishes, 0);
    advance(2000);
    assert_int_equal(database.finishes, 1);
    assert_false(database.published);
    finish(&ok);
}

static void looks_for_nothing_while_a_server_is_away(void **state)
{
    (void)state;
    hand_out(0, &ok);
    queue.accepts = false;
    advance(3000);
    assert_int_equal(database.takes, 1);
    queue.accepts = true;
    database.connected = false;
    advance(3000);
    assert_int_equal(database.takes, 1);
    database.connected = true;
    advance(1100);
    assert_int_equal(database.takes, 2);
}

static void a_failing_database_is_retried_with_backoff(void **state)
{
    (void)state;
    hand_out(0, &lost); /* taking */
    advance(1100);
    assert_int_equal(database.takes, 2);
    hand_out(2, &ok);
    answer(0, 2, PUBLISH_CONFIRMED);
    finish(&lost); /* committing */
    advance(200);
    assert_int_equal(database.takes, 2);
    advance(3000);
    assert_int_equal(database.takes, 3);
    queue.published = 0;
    hand_out(2, &ok);
    database.connected = false;
    answer(0, 2, PUBLISH_CONFIRMED); /* nothing can be finished: the lease ends by itself */
    database.connected = true;
    advance(200);
    assert_int_equal(database.takes, 3);
    advance(5000);
    assert_int_equal(database.takes, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_every_second_and_when_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_more_often_after_orders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deletes_only_after_all_confirms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_the_next_batch_at_once_after_a_full_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ends_the_lease_and_waits_when_one_is_not_confirmed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(goes_on_when_the_window_was_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_up_when_the_window_stays_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_for_nothing_while_a_server_is_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failing_database_is_retried_with_backoff, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
