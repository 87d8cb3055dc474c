/* Brings bulk orders from the outbox to the queue. Runs on one loop of the gateway.
 *
 *   IDLE ──timer or wake──▶ TAKING ──rows──▶ PUBLISHING ──all answered──▶ FINISHING ──▶ IDLE
 *
 * A batch is deleted only when all of it is confirmed. Otherwise its lease is ended at once, and
 * the next attempt waits. A batch has as long as its lease. */
#include "services/gateway/outbox_task.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define POLL_MS 1000
#define POLL_SOON_MS 50         /* after a batch; twice as long each time that there is nothing */
#define FULL_WINDOW_PAUSE_MS 10 /* while clients' orders fill the publisher's window */
#define BACKLOG_INTERVAL_MS 5000

static const struct backoff failure_backoff = {.base_ms = 500, .cap_ms = 10000};

enum task_state { TASK_IDLE, TASK_TAKING, TASK_PUBLISHING, TASK_FINISHING };

struct outbox_task {
    enum task_state state;
    bool woken; /* while busy: look again at once */
    struct database *database;
    struct order_queue *queue;
    int wake_fd;
    struct loop_watch *wake_watch;
    struct loop_timer *timer; /* IDLE: when to look; PUBLISHING: when to go on */
    struct loop_timer *backlog_timer;
    int64_t poll_ms;
    struct backoff backoff;

    struct outbox_batch *batch; /* PUBLISHING, FINISHING; else NULL */
    size_t published, answered, confirmed;
    bool given_up; /* no more of it is published */
    int64_t deadline_ms;

    struct metric_counter *relayed_total, *failures_total;
    struct metric_gauge *backlog_orders, *backlog_age_seconds;
};

static struct log_limit failure_limit;

static void look(struct outbox_task *task);
static void publish_more(struct outbox_task *task);

static void become_idle(struct outbox_task *task, int64_t look_in_ms)
{
    free(task->batch);
    task->batch = NULL;
    task->state = TASK_IDLE;
    loop_timer_start(task->timer, look_in_ms);
}

static void fail(struct outbox_task *task, const char *reason)
{
    metric_add(task->failures_total, 1);
    log_limited(&failure_limit, LOG_LEVEL_WARN, "cannot relay the outbox",
                (const struct log_field[]){log_text("reason", reason), {0}});
    become_idle(task, backoff_next_ms(&task->backoff, arc4random()));
}

/* A mass replay adds orders when the fate of those before is known: its next ones come soon. */
static void rest(struct outbox_task *task, bool had_orders, bool more)
{
    backoff_reset(&task->backoff);
    task->poll_ms = had_orders                    ? POLL_SOON_MS
                    : task->poll_ms * 2 < POLL_MS ? task->poll_ms * 2
                                                  : POLL_MS;
    become_idle(task, task->poll_ms);
    if (more || task->woken)
        look(task);
}

static void on_finished(void *arg, const struct database_answer *answer)
{
    struct outbox_task *task = arg;
    assert(task->state == TASK_FINISHING);
    size_t count = task->batch->count;
    if (task->confirmed < count) {
        fail(task, "the broker did not confirm all orders");
    } else if (answer->status != DATABASE_OK) {
        fail(task, answer->message);
    } else {
        metric_add(task->relayed_total, count);
        rest(task, true, count == OUTBOX_BATCH);
    }
}

static void finish_when_answered(struct outbox_task *task)
{
    bool all_published = task->published == task->batch->count || task->given_up;
    if (!all_published || task->answered < task->published)
        return;
    loop_timer_stop(task->timer);
    task->state = TASK_FINISHING;
    if (outbox_finish(task->database, task->batch, task->confirmed == task->batch->count,
                      on_finished, task) != 0)
        fail(task, "no connection to PostgreSQL");
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
    if (clock_monotonic_ms() >= task->deadline_ms)
        task->given_up = true;
    while (task->published < task->batch->count && !task->given_up) {
        const struct outbox_row *row = &task->batch->rows[task->published];
        const struct order_message message = {
            .id = &row->order_id,
            .json = row->json,
            .json_len = row->json_len,
            .trace = &row->trace,
            .replay_of = row->replay_of,
        };
        if (task->queue->publish(task->queue->self, &message, task->deadline_ms, on_published,
                                 task) != 0) {
            loop_timer_start(task->timer, FULL_WINDOW_PAUSE_MS);
            break;
        }
        task->published++;
    }
    finish_when_answered(task);
}

static void on_taken(void *arg, struct outbox_batch *batch, const struct database_answer *answer)
{
    struct outbox_task *task = arg;
    assert(task->state == TASK_TAKING);
    if (batch == NULL) {
        if (answer->status == DATABASE_OK)
            rest(task, false, false);
        else
            fail(task, answer->message);
        return;
    }
    task->state = TASK_PUBLISHING;
    task->batch = batch;
    task->published = task->answered = task->confirmed = 0;
    task->given_up = false;
    task->deadline_ms = clock_monotonic_ms() + OUTBOX_LEASE_MS;
    publish_more(task);
}

static void look(struct outbox_task *task)
{
    assert(task->state == TASK_IDLE);
    task->woken = false;
    /* Without a broker or a database there is nothing to do, and their health checks say so. */
    if (task->queue->accepts(task->queue->self) &&
        outbox_take(task->database, on_taken, task) == 0) {
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
    eventfd_t wakes;
    (void)!eventfd_read(task->wake_fd, &wakes); /* nobody else reads it */
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
    if (outbox_backlog(task->database, on_backlog, task) != 0)
        report_backlog(task, NAN, NAN); /* not connected */
    loop_timer_start(task->backlog_timer, BACKLOG_INTERVAL_MS);
}

struct outbox_task *outbox_task_new(struct event_loop *events,
                                    const struct outbox_task_options *options)
{
    struct outbox_task *task = memory_new(sizeof *task);
    task->state = TASK_IDLE;
    task->queue = options->queue;
    task->wake_fd = options->wake_fd;
    task->backoff = failure_backoff;
    task->poll_ms = POLL_MS;
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
    task->database = database_new(events, &options->database);
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
    database_free(task->database);
    free(task->batch);
    free(task);
}
