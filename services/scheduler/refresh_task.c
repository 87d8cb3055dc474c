/* Refreshes the view of daily sales: the plan decides when, the database does it, and the table of
 * jobs tells the gateways how it ended. Everything that happens ends in drive(), which begins what
 * the plan says and sets the timer for the next look at the clock.
 *
 * The jobs that this task holds are those with its token. When it cannot say how they ended, it
 * takes a new token: the leases of the old one end, and a scheduler claims the jobs again. */
#include "services/scheduler/refresh_task.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/sales_view.h"
#include "services/scheduler/ledger_task.h"
#include "services/scheduler/refresh_plan.h"
#include <stdlib.h>

#define REFRESH_TIMEOUT_MS (INT64_C(5) * 60 * 1000)
#define STATEMENTS_MAX 8

struct refresh_metrics {
    struct metric_counter *results[REFRESH_FAILED + 1];
    struct metric_histogram *seconds;
    struct metric_gauge *last_success, *due, *next_run, *waiting;
    struct metric_counter *requests;
};

struct refresh_task {
    struct refresh_task_options options;
    struct loop_timer *timer;
    struct refresh_plan plan;
    struct database *database;
    struct refresh_metrics metrics;
    int64_t token;
    int64_t jobs_waiting, jobs_held; /* not claimed yet, as last seen; under this token */
    int64_t tick_us;                 /* of the attempt, 0 for none */
    int64_t attempt_began_us;        /* monotonic */
    bool locked_told;                /* that another scheduler is at work: once for each wait */
    bool finishing; /* the database is about to say that those who asked are answered */
    bool stopping;
};

static const char *utc_text(int64_t us, char text[TIMESTAMP_TEXT_SIZE])
{
    if (us == CRON_NEVER)
        return "never";
    (void)timestamp_format(us, text);
    return text;
}

static bool asked(const struct refresh_task *task)
{
    return task->jobs_waiting + task->jobs_held > 0;
}

static void let_jobs_go(struct refresh_task *task)
{
    task->token = jobs_new_token();
    task->jobs_held = 0;
}

static void tell_done(struct refresh_task *task)
{
    int64_t took_us = clock_monotonic_us() - task->attempt_began_us;
    char next[TIMESTAMP_TEXT_SIZE];
    metric_observe(task->metrics.seconds, (double)took_us / 1e6);
    metric_set(task->metrics.last_success, (double)timestamp_now_us() / 1e6);
    log_info("refreshed", log_number("duration_ms", took_us / 1000),
             log_number("requests", task->jobs_held),
             log_text("next_run", utc_text(task->plan.next_us, next)));
}

/* Call the owner last: it may free the task. */
static void tell_if_stopped(struct refresh_task *task)
{
    if (task->stopping && !task->plan.running && !task->finishing)
        task->options.on_stopped(task->options.arg);
}

static void on_jobs_finished(void *arg, const struct database_answer *answer)
{
    struct refresh_task *task = arg;
    if (answer->status != DATABASE_OK) {
        log_warn("cannot tell who asked for a refresh how it ended",
                 log_text("reason", answer->message));
        let_jobs_go(task);
    }
    task->finishing = false;
    tell_if_stopped(task);
}

/* Answer those who asked. A claim whose answer was lost may have taken jobs, so this does not look
 * at `jobs_held`. */
static void finish_jobs(struct refresh_task *task, const char *error)
{
    task->finishing = jobs_finish(task->database, JOB_KIND_REFRESH, task->token, error,
                                  on_jobs_finished, task) == 0;
    task->jobs_held = 0;
    if (!task->finishing)
        let_jobs_go(task);
}

static void end_attempt(struct refresh_task *task, enum refresh_result result, const char *reason)
{
    refresh_plan_end(&task->plan, result, clock_monotonic_ms(), arc4random());
    metric_add(task->metrics.results[result], 1);
    switch (result) {
    case REFRESH_DONE:
        tell_done(task);
        finish_jobs(task, NULL);
        break;
    case REFRESH_FAILED:
        log_warn("refresh failed", log_text("reason", reason));
        finish_jobs(task, reason);
        break;
    case REFRESH_LOCKED:
        if (!task->locked_told)
            log_info("another scheduler is refreshing, waiting for it");
        break;
    case REFRESH_ALREADY_DONE:
        log_info("this run was done already, before a restart or by another scheduler");
        break;
    }
    task->locked_told = result == REFRESH_LOCKED;
    loop_timer_start(task->timer, 0);
    tell_if_stopped(task);
}

static void on_refreshed(void *arg, enum refresh_result result,
                         const struct database_answer *answer)
{
    end_attempt(arg, result, answer->message);
}

static void on_claimed(void *arg, const struct database_answer *answer)
{
    struct refresh_task *task = arg;
    int64_t claimed = database_number(answer);
    metric_add(task->metrics.requests, (uint64_t)claimed);
    task->jobs_held += claimed;
    if (answer->status != DATABASE_OK)
        end_attempt(task, REFRESH_FAILED, answer->message);
    else if (task->jobs_held == 0 && task->tick_us == 0)
        end_attempt(task, REFRESH_ALREADY_DONE, NULL); /* another scheduler was first */
    else if (sales_view_refresh(task->database, task->tick_us, on_refreshed, task) != 0)
        end_attempt(task, REFRESH_FAILED, "no connection to PostgreSQL");
}

static void begin_attempt(struct refresh_task *task)
{
    if (!refresh_plan_begin(&task->plan, asked(task), clock_monotonic_ms(), &task->tick_us))
        return;
    task->attempt_began_us = clock_monotonic_us();
    ledger_task_wake(task->options.ledger);
    task->jobs_waiting = 0; /* until the next look */
    if (jobs_claim(task->database, JOB_KIND_REFRESH, task->token, on_claimed, task) != 0)
        end_attempt(task, REFRESH_FAILED, "no connection to PostgreSQL");
}

static void drive(struct refresh_task *task)
{
    struct refresh_plan *plan = &task->plan;
    char next[TIMESTAMP_TEXT_SIZE];
    if (refresh_plan_see_clock(plan, timestamp_now_us()))
        log_warn("the wall clock was put back, the schedule follows it",
                 log_text("next_run", utc_text(plan->next_us, next)));
    metric_set(task->metrics.next_run,
               plan->next_us == CRON_NEVER ? 0 : (double)plan->next_us / 1e6);

    metric_set(task->metrics.due,
               plan->due_tick_us == CRON_NEVER ? 0 : (double)plan->due_tick_us / 1e6);

    metric_set(task->metrics.waiting, (double)(task->jobs_waiting + task->jobs_held));

    if (task->stopping)
        return;
    bool up = database_up(task->database);
    if (up)
        begin_attempt(task);
    loop_timer_start(task->timer, up ? refresh_plan_wait_ms(plan, asked(task), clock_monotonic_ms())
                                     : REFRESH_PLAN_CLOCK_POLL_MS);
}

static void on_timer(void *arg)
{
    drive(arg);
}

static struct refresh_metrics register_metrics(void)
{
    static const char name[] = "scheduler_attempts_total",
                      help[] = "Attempts to refresh, by result";
    return (struct refresh_metrics){
        .results =
            {
                [REFRESH_DONE] = metric_counter(name, "result=\"done\"", help),
                [REFRESH_FAILED] = metric_counter(name, "result=\"failed\"", help),
                [REFRESH_LOCKED] = metric_counter(name, "result=\"locked\"", help),
                [REFRESH_ALREADY_DONE] = metric_counter(name, "result=\"already_done\"", help),
            },
        .seconds = metric_histogram("db_query_duration_seconds", "operation=\"refresh_mv\"",
                                    "Duration of database queries by operation", METRIC_SECONDS),
        .last_success = metric_gauge("scheduler_last_success_timestamp_seconds", NULL,
                                     "When this process last refreshed, 0: not yet"),
        .due = metric_gauge("scheduler_due_timestamp_seconds", NULL,
                            "The scheduled run that has not been done yet, 0: none"),
        .next_run = metric_gauge("scheduler_next_run_timestamp_seconds", NULL,
                                 "When the schedule is next due, 0: never"),
        .waiting = metric_gauge("scheduler_requests_waiting", NULL,
                                "Jobs to refresh that wait, or whose refresh is running"),
        .requests = metric_counter("scheduler_requests_total", NULL, "Jobs to refresh taken"),
    };
}

static void init_plan(struct refresh_task *task, const struct cron *cron)
{
    char next[TIMESTAMP_TEXT_SIZE];
    refresh_plan_init(&task->plan, cron, timestamp_now_us());
    if (task->plan.next_us == CRON_NEVER)
        log_warn("the schedule never comes due within five years: only requests will refresh",
                 log_text("variable", "MV_REFRESH_SCHEDULE"));
    else
        log_info("scheduled", log_text("next_run", utc_text(task->plan.next_us, next)));
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct refresh_task *task = arg;
    task->options.on_state(task->options.arg, up, reason);
}

struct refresh_task *refresh_task_new(struct event_loop *loop,
                                      const struct refresh_task_options *options)
{
    struct refresh_task *task = memory_new(sizeof *task);
    *task = (struct refresh_task){
        .options = *options,
        .metrics = register_metrics(),
        .token = jobs_new_token(),
        .timer = event_loop_timer(loop, on_timer, task),
        .database = database_new(loop,
                                 &(struct database_options){
                                     .dsn = options->dsn,
                                     .application_name = "scheduler",
                                     .max_in_flight = STATEMENTS_MAX,
                                     .statement_timeout_ms = REFRESH_TIMEOUT_MS,
                                     .uses = DATABASE_SCHEDULES,
                                     .on_state = on_state,
                                     .arg = task,
                                 }),
    };
    task->options.dsn = NULL; /* the caller's string is not kept */
    init_plan(task, options->cron);
    task->options.cron = NULL;
    loop_timer_start(task->timer, 0);
    return task;
}

void refresh_task_free(struct refresh_task *task)
{
    if (task == NULL)
        return;
    database_free(task->database);
    loop_timer_free(task->timer);
    free(task);
}

bool refresh_task_up(const struct refresh_task *task)
{
    return database_up(task->database);
}

void refresh_task_wake(struct refresh_task *task, bool up)
{
    if (up)
        refresh_plan_retry_now(&task->plan);
    loop_timer_start(task->timer, 0);
}

int64_t refresh_task_token(const struct refresh_task *task)
{
    return task->token;
}

void refresh_task_see_waiting(struct refresh_task *task, int64_t jobs)
{
    task->jobs_waiting = jobs;
    loop_timer_start(task->timer, 0);
}

void refresh_task_stop(struct refresh_task *task)
{
    task->stopping = true;
    tell_if_stopped(task);
}
