/*   IDLE ──timer or wake──▶ TAKING ──rows──▶ PUBLISHING ──all answered──▶ FINISHING ──▶ IDLE
 *
 * A batch is deleted only when all of it is confirmed; otherwise it is rolled back, and the next
 * attempt waits. The rows are locked meanwhile, so a batch has a deadline well below the one after
 * which the server ends its transaction. */
#include "services/gateway/outbox_task.h"
#include "proto/order_json.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS 1000
#define BATCH_DEADLINE_MS 5000
#define FULL_WINDOW_PAUSE_MS 10 /* while clients' orders fill the publisher's window */
#define BACKLOG_INTERVAL_MS 5000

static const struct backoff failure_backoff = {.base_ms = 500, .cap_ms = 10000};

enum task_state { TASK_IDLE, TASK_TAKING, TASK_PUBLISHING, TASK_FINISHING };

struct outbox_task {
    enum task_state state;
    bool woken; /* while busy: look again at once */
    struct outbox_relay *relay;
    struct database *backlog_reader;
    struct order_queue *queue;
    int wake_fd;
    struct loop_watch *wake_watch;
    struct loop_timer *timer; /* IDLE: when to look; PUBLISHING: when to go on */
    struct loop_timer *backlog_timer;
    struct backoff backoff;

    /* The batch. */
    const struct order *orders;
    char *json[OUTBOX_BATCH]; /* of those that are published, until all are answered */
    size_t count, published, answered, confirmed;
    bool given_up; /* no more of it is published */
    int64_t deadline_ms;

    struct metric_counter *relayed_total, *failures_total;
    struct metric_gauge *backlog_orders, *backlog_age_seconds;
};

static struct log_limit failure_limit;

static void look(struct outbox_task *task);
static void publish_more(struct outbox_task *task);

static void fail(struct outbox_task *task, const char *reason)
{
    metric_add(task->failures_total, 1);
    log_limited(&failure_limit, LOG_LEVEL_WARN, "cannot relay the outbox",
                (const struct log_field[]){log_text("reason", reason), {0}});
    task->state = TASK_IDLE;
    loop_timer_start(task->timer, backoff_next_ms(&task->backoff, arc4random()));
}

static void rest(struct outbox_task *task, bool more)
{
    backoff_reset(&task->backoff);
    task->state = TASK_IDLE;
    if (more || task->woken)
        look(task);
    else
        loop_timer_start(task->timer, POLL_MS);
}

static void on_finished(void *arg, const struct database_answer *answer)
{
    struct outbox_task *task = arg;
    assert(task->state == TASK_FINISHING);
    bool all_confirmed = task->confirmed == task->count;
    if (!all_confirmed) {
        fail(task, "the broker did not confirm all orders");
    } else if (answer->status != DATABASE_OK) {
        fail(task, answer->message);
    } else {
        metric_add(task->relayed_total, task->count);
        rest(task, task->count == OUTBOX_BATCH);
    }
}

static void forget_json(struct outbox_task *task)
{
    while (task->published > 0)
        free(task->json[--task->published]);
}

static void finish_when_answered(struct outbox_task *task)
{
    bool all_published = task->published == task->count || task->given_up;
    if (!all_published || task->answered < task->published)
        return;
    loop_timer_stop(task->timer);
    forget_json(task);
    task->state = TASK_FINISHING;
    outbox_finish(task->relay, task->confirmed == task->count, on_finished, task);
}

static void on_published(void *arg, enum publish_result result)
{
    struct outbox_task *task = arg;
    assert(task->state == TASK_PUBLISHING);
    task->answered++;
    switch (result) {
    case PUBLISH_CONFIRMED:
        task->confirmed++;
        break;
    case PUBLISH_REFUSED:
    case PUBLISH_UNKNOWN:
        task->given_up = true;
        break;
    }
    finish_when_answered(task);
}

/* Publish until the batch is out or the window is full, and then go on a little later. */
static void publish_more(struct outbox_task *task)
{
    char json[ORDER_JSON_SIZE];
    if (clock_monotonic_ms() >= task->deadline_ms)
        task->given_up = true;
    while (task->published < task->count && !task->given_up) {
        const struct order *order = &task->orders[task->published];
        size_t len = order_to_json(order, json);
        char *kept = memory_copy(json, len);
        if (task->queue->publish(task->queue->self, &order->id, kept, len, task->deadline_ms,
                                 on_published, task) != 0) {
            free(kept);
            loop_timer_start(task->timer, FULL_WINDOW_PAUSE_MS);
            break;
        }
        task->json[task->published++] = kept;
    }
    finish_when_answered(task);
}

static void on_batch(void *arg, const struct order *orders, size_t count,
                     const struct database_answer *answer)
{
    struct outbox_task *task = arg;
    assert(task->state == TASK_TAKING);
    if (count == 0) {
        if (answer->status == DATABASE_OK)
            rest(task, false);
        else
            fail(task, answer->message);
        return;
    }
    task->state = TASK_PUBLISHING;
    task->orders = orders;
    task->count = count;
    task->answered = task->confirmed = 0;
    task->given_up = false;
    task->deadline_ms = clock_monotonic_ms() + BATCH_DEADLINE_MS;
    publish_more(task);
}

static void look(struct outbox_task *task)
{
    assert(task->state == TASK_IDLE);
    task->woken = false;
    /* Without a broker or a database there is nothing to do, and others tell about it. */
    if (task->queue->accepts(task->queue->self) && outbox_take(task->relay, on_batch, task) == 0) {
        loop_timer_stop(task->timer);
        task->state = TASK_TAKING;
    } else {
        loop_timer_start(task->timer, POLL_MS);
    }
}

static void on_timer(void *arg)
{
    struct outbox_task *task = arg;
    if (task->state == TASK_PUBLISHING)
        publish_more(task);
    else
        look(task);
}

static void on_wake(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct outbox_task *task = arg;
    uint64_t wakes;
    ssize_t taken = read(task->wake_fd, &wakes, sizeof wakes);
    (void)taken; /* nobody else reads it */
    if (task->state != TASK_IDLE)
        task->woken = true;
    else if (task->backoff.failures == 0) /* else its turn comes */
        look(task);
}

static void report_backlog(struct outbox_task *task, double orders, double oldest_seconds)
{
    metric_set(task->backlog_orders, orders);
    metric_set(task->backlog_age_seconds, oldest_seconds);
}

static void on_backlog(void *arg, const struct outbox_backlog *backlog,
                       const struct database_answer *answer)
{
    if (answer->status == DATABASE_OK)
        report_backlog(arg, (double)backlog->orders, backlog->oldest_seconds);
    else
        report_backlog(arg, NAN, NAN);
}

static void read_backlog(void *arg)
{
    struct outbox_task *task = arg;
    if (outbox_backlog(task->backlog_reader, on_backlog, task) != 0)
        report_backlog(task, NAN, NAN); /* not connected */
    loop_timer_start(task->backlog_timer, BACKLOG_INTERVAL_MS);
}

struct outbox_task *outbox_task_new(struct event_loop *events,
                                    const struct outbox_task_options *options)
{
    struct outbox_task *task = memory_new(sizeof *task);
    task->state = TASK_IDLE;
    task->backlog_reader = options->backlog_reader;
    task->queue = options->queue;
    task->wake_fd = options->wake_fd;
    task->backoff = failure_backoff;
    task->relayed_total =
        metric_counter("outbox_relayed_total", NULL, "Bulk orders brought to the queue");
    task->failures_total = metric_counter("outbox_failures_total", NULL,
                                          "Batches of the outbox that were not relayed");
    task->backlog_orders =
        metric_gauge("outbox_orders", NULL,
                     "Bulk orders that still have to go to the queue, counted up to 10000");
    task->backlog_age_seconds = metric_gauge("outbox_oldest_age_seconds", NULL,
                                             "Since the oldest bulk order that still has to go to "
                                             "the queue was stored");
    task->relay = outbox_relay_new(events, &options->database);
    task->timer = event_loop_timer(events, on_timer, task);
    task->backlog_timer = event_loop_timer(events, read_backlog, task);
    task->wake_watch = event_loop_watch(events, task->wake_fd, on_wake, task);
    loop_watch_want(task->wake_watch, true, false);
    loop_timer_start(task->timer, 0);
    loop_timer_start(task->backlog_timer, 0);
    return task;
}

void outbox_task_free(struct outbox_task *task)
{
    if (!task)
        return;
    loop_watch_free(task->wake_watch);
    loop_timer_free(task->timer);
    loop_timer_free(task->backlog_timer);
    outbox_relay_free(task->relay);
    forget_json(task);
    free(task);
}
