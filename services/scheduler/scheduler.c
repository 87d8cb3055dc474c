/* Ties the parts together on one loop: the plan decides, the database refreshes, the askers are
 * told. Everything that happens ends in drive(), which begins what the plan says and sets the one
 * timer for the next look. */
#include "services/scheduler/scheduler.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/sales_view.h"
#include "services/loop/event_loop.h"
#include "services/runtime/health.h"
#include "services/scheduler/refresh_plan.h"
#include "services/scheduler/refresh_requests.h"
#include "services/scheduler/settings.h"
#include <sys/random.h>

#define REFRESH_TIMEOUT_MS (INT64_C(5) * 60 * 1000)
#define DATABASE_GRACE_MS 5000 /* requests wait this long for a database that is down */
#define DRAIN_MS 8000          /* of the 10 s that service.h gives */
#define STATEMENTS_MAX 8

struct scheduler_metrics {
    struct metric_counter *results[ATTEMPT_ALREADY_DONE + 1];
    struct metric_histogram *seconds;
    struct metric_gauge *last_success, *due, *next_run;
};

struct scheduler {
    struct event_loop *loop;
    struct loop_timer *timer, *drain_timer;
    struct loop_watch *stop_watch;
    struct refresh_plan plan;
    struct refresh_requests *requests;
    struct database *database;
    struct health_check *health;
    struct scheduler_metrics metrics;
    int64_t down_since_ms;    /* of the database, while it is down */
    int64_t attempt_began_us; /* monotonic */
    bool locked_told;         /* that another scheduler is at work: once for each wait */
    bool stopping, finished;
};

static void drive(struct scheduler *scheduler);

static uint32_t random_number(void)
{
    uint32_t number = 0;
    (void)getrandom(&number, sizeof number, 0); /* only jitter hangs on it */
    return number;
}

static const char *utc_text(int64_t us, char text[TIMESTAMP_TEXT_SIZE])
{
    if (us == CRON_NEVER)
        return "never";
    (void)timestamp_format(us, text);
    return text;
}

static void finish(struct scheduler *scheduler)
{
    refresh_requests_answer(scheduler->requests, UINT64_MAX, REFRESH_ANSWER_DECLINED, "");
    scheduler->finished = true;
    event_loop_stop(scheduler->loop);
}

static void tell_done(struct scheduler *scheduler)
{
    int64_t took_us = clock_monotonic_us() - scheduler->attempt_began_us;
    char next[TIMESTAMP_TEXT_SIZE];
    metric_observe(scheduler->metrics.seconds, (double)took_us / 1e6);
    metric_set(scheduler->metrics.last_success, (double)timestamp_now_us() / 1e6);
    log_info("refreshed", log_number("duration_ms", took_us / 1000),
             log_number("requests", refresh_requests_waiting(scheduler->requests)),
             log_text("next_run", utc_text(scheduler->plan.next_us, next)));
}

static void end_attempt(struct scheduler *scheduler, enum refresh_attempt result,
                        const char *reason)
{
    uint64_t number = scheduler->plan.begun;
    refresh_plan_end(&scheduler->plan, result, clock_monotonic_ms(), random_number());
    metric_add(scheduler->metrics.results[result], 1);
    switch (result) {
    case ATTEMPT_DONE:
        tell_done(scheduler);
        refresh_requests_answer(scheduler->requests, number, REFRESH_ANSWER_DONE, "");
        break;
    case ATTEMPT_FAILED:
        log_warn("refresh failed", log_text("reason", reason));
        refresh_requests_answer(scheduler->requests, number, REFRESH_ANSWER_FAILED, reason);
        break;
    case ATTEMPT_LOCKED:
        if (!scheduler->locked_told)
            log_info("another scheduler is refreshing, waiting for it");
        break;
    case ATTEMPT_ALREADY_DONE:
        log_info("this run was done already, before a restart or by another scheduler");
        break;
    }
    scheduler->locked_told = result == ATTEMPT_LOCKED;
    if (scheduler->stopping)
        finish(scheduler);
}

static void on_refreshed(void *arg, enum refresh_result result,
                         const struct database_answer *answer)
{
    static const enum refresh_attempt attempts[] = {
        [REFRESH_DONE] = ATTEMPT_DONE,
        [REFRESH_LOCKED] = ATTEMPT_LOCKED,
        [REFRESH_ALREADY_DONE] = ATTEMPT_ALREADY_DONE,
        [REFRESH_FAILED] = ATTEMPT_FAILED,
    };
    end_attempt(arg, attempts[result], answer->message);
    drive(arg);
}

static void begin_attempt(struct scheduler *scheduler)
{
    bool asked = refresh_requests_waiting(scheduler->requests) != 0;
    int64_t tick_us;
    if (!refresh_plan_begin(&scheduler->plan, asked, clock_monotonic_ms(), &tick_us))
        return;
    scheduler->attempt_began_us = clock_monotonic_us();
    if (sales_view_refresh(scheduler->database, tick_us, on_refreshed, scheduler) != 0)
        end_attempt(scheduler, ATTEMPT_FAILED, "no connection to PostgreSQL");
}

static void drive(struct scheduler *scheduler)
{
    struct refresh_plan *plan = &scheduler->plan;
    int64_t now_ms = clock_monotonic_ms();
    char next[TIMESTAMP_TEXT_SIZE];
    if (refresh_plan_see_clock(plan, timestamp_now_us()))
        log_warn("the wall clock was put back, the schedule follows it",
                 log_text("next_run", utc_text(plan->next_us, next)));
    metric_set(scheduler->metrics.next_run,
               plan->next_us == CRON_NEVER ? 0 : (double)plan->next_us / 1e6);

    metric_set(scheduler->metrics.due,
               plan->due_tick_us == CRON_NEVER ? 0 : (double)plan->due_tick_us / 1e6);

    bool up = database_up(scheduler->database);
    if (scheduler->stopping)
        return;
    if (up)
        begin_attempt(scheduler);
    else if (now_ms - scheduler->down_since_ms >= DATABASE_GRACE_MS)
        refresh_requests_answer(scheduler->requests, UINT64_MAX, REFRESH_ANSWER_FAILED,
                                "no connection to PostgreSQL");

    bool asked = refresh_requests_waiting(scheduler->requests) != 0;
    loop_timer_start(scheduler->timer,
                     up ? refresh_plan_wait_ms(plan, asked, now_ms) : REFRESH_PLAN_CLOCK_POLL_MS);
}

static void on_timer(void *arg)
{
    drive(arg);
}

static uint64_t on_request(void *arg)
{
    struct scheduler *scheduler = arg;
    loop_timer_start(scheduler->timer, 0); /* all that have arrived together go together */
    return refresh_plan_join(&scheduler->plan);
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct scheduler *scheduler = arg;
    if (health_set(scheduler->health, up, reason)) {
        if (up)
            log_info("connected to PostgreSQL");
        else
            log_warn("no connection to PostgreSQL", log_text("reason", reason));
        scheduler->down_since_ms = clock_monotonic_ms();
    }
    if (up)
        refresh_plan_retry_now(&scheduler->plan);
    loop_timer_start(scheduler->timer, 0);
}

static void on_drain_timeout(void *arg)
{
    log_warn("stopped while a refresh was running; the server rolls it back");
    finish(arg);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct scheduler *scheduler = arg;
    loop_watch_want(scheduler->stop_watch, false, false);
    scheduler->stopping = true;
    refresh_requests_close(scheduler->requests);
    if (scheduler->plan.running)
        loop_timer_start(scheduler->drain_timer, DRAIN_MS);
    else
        finish(scheduler);
}

static struct scheduler_metrics register_metrics(void)
{
    static const char name[] = "scheduler_attempts_total",
                      help[] = "Attempts to refresh, by result";
    return (struct scheduler_metrics){
        .results =
            {
                [ATTEMPT_DONE] = metric_counter(name, "result=\"done\"", help),
                [ATTEMPT_FAILED] = metric_counter(name, "result=\"failed\"", help),
                [ATTEMPT_LOCKED] = metric_counter(name, "result=\"locked\"", help),
                [ATTEMPT_ALREADY_DONE] = metric_counter(name, "result=\"already_done\"", help),
            },
        .seconds = metric_histogram_seconds("db_query_duration_seconds", "operation=\"refresh_mv\"",
                                            "Duration of database queries by operation"),
        .last_success = metric_gauge("scheduler_last_success_timestamp_seconds", NULL,
                                     "When this process last refreshed, 0: not yet"),
        .due = metric_gauge("scheduler_due_timestamp_seconds", NULL,
                            "The scheduled run that has not been done yet, 0: none"),
        .next_run = metric_gauge("scheduler_next_run_timestamp_seconds", NULL,
                                 "When the schedule is next due, 0: never"),
    };
}

static void init_plan(struct scheduler *scheduler, const struct cron *cron)
{
    char next[TIMESTAMP_TEXT_SIZE];
    refresh_plan_init(&scheduler->plan, cron, timestamp_now_us());
    if (scheduler->plan.next_us == CRON_NEVER)
        log_warn("the schedule never comes due within five years: only requests will refresh",
                 log_text("variable", "MV_REFRESH_SCHEDULE"));
    else
        log_info("scheduled", log_text("next_run", utc_text(scheduler->plan.next_us, next)));
}

int scheduler_run(const void *arg, int stop_fd, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    struct scheduler scheduler = {.down_since_ms = clock_monotonic_ms()};
    struct cron cron;
    if (cron_parse(settings->schedule, &cron, err) != 0)
        return -1;
    scheduler.metrics = register_metrics();
    scheduler.health = health_check("postgres", HEALTH_REQUIRED);
    init_plan(&scheduler, &cron);

    scheduler.loop = event_loop_new();
    scheduler.requests =
        refresh_requests_new(scheduler.loop, settings->bind, on_request, &scheduler, err);
    bool bound = scheduler.requests != NULL;
    if (bound) {
        scheduler.timer = event_loop_timer(scheduler.loop, on_timer, &scheduler);
        scheduler.drain_timer = event_loop_timer(scheduler.loop, on_drain_timeout, &scheduler);
        scheduler.database =
            database_new(scheduler.loop, &(struct database_options){
                                             .dsn = settings->postgres_dsn,
                                             .application_name = "scheduler",
                                             .max_in_flight = STATEMENTS_MAX,
                                             .statement_timeout_ms = REFRESH_TIMEOUT_MS,
                                             .installs_schema = true,
                                             .on_state = on_database_state,
                                             .arg = &scheduler,
                                         });
        scheduler.stop_watch = event_loop_watch(scheduler.loop, stop_fd, on_stop, &scheduler);
        loop_watch_want(scheduler.stop_watch, true, false);
        loop_timer_start(scheduler.timer, 0);
        event_loop_run(scheduler.loop);
    }

    loop_watch_free(scheduler.stop_watch);
    database_free(scheduler.database);
    loop_timer_free(scheduler.drain_timer);
    loop_timer_free(scheduler.timer);
    refresh_requests_free(scheduler.requests);
    event_loop_free(scheduler.loop);
    return bound ? 0 : -1;
}
