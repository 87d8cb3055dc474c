/* Looks what there is, does the next thing, and looks again. Two schedulers may do so at once: each
 * step takes a lock, and changes nothing when it was done meanwhile. While a lock on orders is
 * waited for, all writers wait behind it: so the wait is short, and tried again later. Each fifth
 * one is longer than deadlock_timeout, because an autovacuum of orders gives way only then. */
#include "services/scheduler/ledger_task.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/scheduler/ledger_health.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 10000
#define FOLD_MS 60000
#define STATEMENT_TIMEOUT_MS (INT64_C(24) * 3600 * 1000)
#define LOCK_TIMEOUT_MS 200
#define LONG_LOCK_TIMEOUT_MS 1200
#define SHORT_TRIES 4 /* before a long one */
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 30000
#define SQLSTATE_LOCK_NOT_AVAILABLE "55P03"

struct verification {
    int64_t from_us, to_us;
    ledger_verified_fn *on_done; /* NULL: none is wanted */
    void *arg;
    bool under_way;
};

struct ledger_task {
    struct database *database;
    struct loop_timer *timer;
    bool busy; /* a statement or a transaction is under way */
    bool wake; /* a look is wanted as soon as it has ended */
    struct backoff backoff;
    unsigned lock_tries;
    int64_t fold_at_ms;
    char told[200]; /* why the view reads all orders, as last logged */
    int64_t lost;   /* triggers, as last logged */
    struct verification verification;
    struct ledger_health *health;
    struct metric_counter *drift_days, *drift_orders;
};

static void look_in(struct ledger_task *task, int64_t delay_ms)
{
    task->busy = false;
    loop_timer_start(task->timer, task->wake ? 0 : delay_ms);
    task->wake = false;
}

static void end_verification(struct ledger_task *task, const struct sales_ledger_drift *drift)
{
    struct verification ended = task->verification;
    task->verification = (struct verification){.on_done = NULL};
    if (ended.on_done != NULL)
        ended.on_done(ended.arg, drift);
}

static void look_after_failure(struct ledger_task *task, const struct database_answer *answer,
                               const char *what)
{
    static struct log_limit limit;
    if (answer->status == DATABASE_FAILED &&
        strcmp(answer->sqlstate, SQLSTATE_LOCK_NOT_AVAILABLE) == 0)
        task->lock_tries++;
    log_limited(&limit, LOG_LEVEL_WARN, what,
                (const struct log_field[]){log_text("reason", answer->message), {0}});
    look_in(task, backoff_next_ms(&task->backoff, arc4random()));
    end_verification(task, NULL);
}

static void on_changed(void *arg, const struct database_answer *answer)
{
    struct ledger_task *task = arg;
    if (answer->status != DATABASE_OK) {
        look_after_failure(task, answer, "the sales ledger waits for a lock, or is refused");
        return;
    }
    task->lock_tries = 0;
    backoff_reset(&task->backoff);
    look_in(task, 0);
}

static void on_folded(void *arg, const struct database_answer *answer)
{
    struct ledger_task *task = arg;
    if (answer->status != DATABASE_OK) {
        look_after_failure(task, answer, "cannot fold the sales ledger");
        return;
    }
    task->fold_at_ms = clock_monotonic_ms() + FOLD_MS;
    look_in(task, LOOK_MS);
}

static void on_mended(void *arg, const struct sales_ledger_drift *drift,
                      const struct database_answer *answer)
{
    struct ledger_task *task = arg;
    bool verified = task->verification.under_way;
    if (answer->status != DATABASE_OK) {
        look_after_failure(task, answer, "cannot compare the sales ledger with the orders");
        return;
    }
    backoff_reset(&task->backoff);
    if (!drift->filled) {
        log_info("the sales ledger is filled", log_number("days", drift->days),
                 log_number("orders", drift->orders));
    } else if (drift->days > 0) {
        log_error("the sales ledger was wrong, and is mended: something went past its triggers",
                  log_number("days", drift->days), log_number("orders", drift->orders));
        metric_add(task->drift_days, (uint64_t)drift->days);
        metric_add(task->drift_orders, (uint64_t)drift->orders);
    }
    look_in(task, 0);
    if (verified)
        end_verification(task, drift);
}

/* Say it when it changes. */
static void tell(struct ledger_task *task, const char *reason)
{
    const char *text = reason != NULL ? reason : "";
    if (strcmp(text, task->told) == 0)
        return;
    snprintf(task->told, sizeof task->told, "%.199s", text);
    if (reason != NULL)
        log_warn("the daily sales are summed up from all orders", log_text("reason", reason));
}

static void tell_lost(struct ledger_task *task, int64_t lost)
{
    if (lost > 0 && lost != task->lost)
        log_error("triggers of the sales ledger are missing or disabled, and are made again",
                  log_number("triggers", lost));
    task->lost = lost;
}

static int send_step(struct ledger_task *task, enum sales_ledger_next next)
{
    struct verification *wanted = &task->verification;
    bool patient = task->lock_tries % (SHORT_TRIES + 1) == SHORT_TRIES;
    int64_t lock_timeout_ms = patient ? LONG_LOCK_TIMEOUT_MS : LOCK_TIMEOUT_MS;
    switch (next) {
    case SALES_LEDGER_TRIGGERS:
        return sales_ledger_install(task->database, lock_timeout_ms, on_changed, task);
    case SALES_LEDGER_FILL:
        return sales_ledger_mend(task->database, INT64_MIN, INT64_MAX, on_mended, task);
    case SALES_LEDGER_VIEW:
        return sales_ledger_replace_view(task->database, lock_timeout_ms, on_changed, task);
    case SALES_LEDGER_DONE:
        wanted->under_way = wanted->on_done != NULL;
        if (wanted->under_way)
            return sales_ledger_mend(task->database, wanted->from_us, wanted->to_us, on_mended,
                                     task);
        if (clock_monotonic_ms() >= task->fold_at_ms)
            return sales_ledger_fold(task->database, on_folded, NULL, task);
        break;
    case SALES_LEDGER_WAIT:
    case SALES_LEDGER_CANNOT:
        break;
    }
    look_in(task, LOOK_MS);
    return 0;
}

static void on_told(void *arg, const struct database_answer *answer)
{
    struct ledger_task *task = arg;
    if (answer->status == DATABASE_OK)
        look_in(task, 0);
    else
        look_after_failure(task, answer, "cannot write down whether there can be a sales ledger");
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct ledger_task *task = arg;
    if (answer->status != DATABASE_OK) {
        look_after_failure(task, answer, "cannot look at the sales ledger");
        return;
    }
    struct sales_ledger_look look;
    sales_ledger_looked(answer, &look);
    ledger_health_tell(task->health, &look);
    tell_lost(task, look.lost);
    if (look.next == SALES_LEDGER_CANNOT || look.next == SALES_LEDGER_DONE)
        tell(task, look.reason);
    const char *obstacle = look.next == SALES_LEDGER_CANNOT ? look.reason : NULL;
    int sent = look.untold ? sales_ledger_tell(task->database, obstacle, on_told, task)
                           : send_step(task, look.next);
    if (sent != 0)
        look_in(task, LOOK_MS); /* the connection is lost; on_state() tells when it is back */
    if (look.next == SALES_LEDGER_CANNOT)
        end_verification(task, NULL);
}

static void on_timer(void *arg)
{
    struct ledger_task *task = arg;
    if (!task->busy)
        task->busy = sales_ledger_look(task->database, on_looked, task) == 0;
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct ledger_task *task = arg;
    (void)reason; /* the scheduler's other connections tell */
    if (up)
        ledger_task_wake(task);
}

struct ledger_task *ledger_task_new(struct event_loop *loop, const char *dsn)
{
    struct ledger_task *task = memory_new(sizeof *task);
    *task = (struct ledger_task){
        .backoff = {.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS},
        .timer = event_loop_timer(loop, on_timer, task),
        .health = ledger_health_new(),
        .drift_days = metric_counter("sales_ledger_drifts_total", NULL,
                                     "Days whose total in the ledger was wrong and was mended"),
        .drift_orders = metric_counter("sales_ledger_drift_orders_total", NULL,
                                       "Orders that such days had too few or too many"),
        .database = database_new(loop,
                                 &(struct database_options){
                                     .dsn = dsn,
                                     .application_name = "scheduler ledger",
                                     .max_in_flight = 1,
                                     .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                     .uses = DATABASE_SCHEDULES,
                                     .on_state = on_state,
                                     .arg = task,
                                 }),
    };
    return task;
}

void ledger_task_free(struct ledger_task *task)
{
    if (task == NULL)
        return;
    database_free(task->database);
    loop_timer_free(task->timer);
    ledger_health_free(task->health);
    free(task);
}

void ledger_task_wake(struct ledger_task *task)
{
    if (task->busy)
        task->wake = true;
    else
        loop_timer_start(task->timer, 0);
}

void ledger_task_verify(struct ledger_task *task, int64_t from_us, int64_t to_us,
                        ledger_verified_fn *on_done, void *arg)
{
    task->verification =
        (struct verification){.from_us = from_us, .to_us = to_us, .on_done = on_done, .arg = arg};
    ledger_task_wake(task);
}

void ledger_task_forget(struct ledger_task *task)
{
    task->verification.on_done = NULL;
}
