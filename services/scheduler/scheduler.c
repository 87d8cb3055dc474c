/* Ties the parts together on one loop: the plan decides, the database refreshes, the jobs table
 * tells the gateways. Everything that happens ends in drive(), which begins what the plan says and
 * sets the timer for the next look at the clock.
 *
 * A refresh may take minutes on its connection. Another connection tells meanwhile that this
 * scheduler is there, renews the leases of its jobs, looks for new ones, and watches the schema.
 * The jobs that this scheduler holds are those with its token. When it cannot say how they ended,
 * it takes a new token: the leases of the old one end, and a scheduler claims the jobs again. */
#include "services/scheduler/scheduler.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/sales_view.h"
#include "services/clients/postgres/schema_watch.h"
#include "services/loop/event_loop.h"
#include "services/runtime/health.h"
#include "services/scheduler/refresh_plan.h"
#include "services/scheduler/settings.h"
#include <sys/random.h>

#define REFRESH_TIMEOUT_MS (INT64_C(5) * 60 * 1000)
#define LOOK_MS 200
#define LOOKS_PER_BEAT 5
#define BEAT_TIMEOUT_MS 5000
#define DRAIN_MS 8000 /* of the 10 s that service.h gives */
#define STATEMENTS_MAX 8

struct scheduler_metrics {
    struct metric_counter *results[REFRESH_FAILED + 1];
    struct metric_histogram *seconds;
    struct metric_gauge *last_success, *due, *next_run, *waiting;
    struct metric_counter *requests;
};

struct scheduler {
    struct event_loop *loop;
    struct loop_timer *timer, *look_timer, *drain_timer;
    struct loop_watch *stop_watch;
    struct refresh_plan plan;
    struct database *database; /* refreshes */
    struct database *beat;     /* beats and looks */
    struct health_check *health;
    struct scheduler_metrics metrics;
    int64_t token;
    int64_t jobs_waiting, jobs_held; /* not claimed yet, as last seen; under this token */
    int64_t tick_us;                 /* of the attempt, 0 for none */
    int64_t attempt_began_us;        /* monotonic */
    unsigned looks;
    bool looking;     /* a look or a beat is not answered yet */
    bool locked_told; /* that another scheduler is at work: once for each wait */
    bool stopping;
};

static uint64_t random_number(void)
{
    uint64_t number = 0;
    (void)getrandom(&number, sizeof number, 0); /* cannot fail for so few bytes */
    return number;
}

static const char *utc_text(int64_t us, char text[TIMESTAMP_TEXT_SIZE])
{
    if (us == CRON_NEVER)
        return "never";
    (void)timestamp_format(us, text);
    return text;
}

static bool asked(const struct scheduler *scheduler)
{
    return scheduler->jobs_waiting + scheduler->jobs_held > 0;
}

static void let_jobs_go(struct scheduler *scheduler)
{
    scheduler->token = (int64_t)random_number();
    scheduler->jobs_held = 0;
}

static void tell_done(struct scheduler *scheduler)
{
    int64_t took_us = clock_monotonic_us() - scheduler->attempt_began_us;
    char next[TIMESTAMP_TEXT_SIZE];
    metric_observe(scheduler->metrics.seconds, (double)took_us / 1e6);
    metric_set(scheduler->metrics.last_success, (double)timestamp_now_us() / 1e6);
    log_info("refreshed", log_number("duration_ms", took_us / 1000),
             log_number("requests", scheduler->jobs_held),
             log_text("next_run", utc_text(scheduler->plan.next_us, next)));
}

static void on_jobs_finished(void *arg, const struct database_answer *answer)
{
    struct scheduler *scheduler = arg;
    if (answer->status != DATABASE_OK) {
        log_warn("cannot tell who asked for a refresh how it ended",
                 log_text("reason", answer->message));
        let_jobs_go(scheduler);
    }
    if (scheduler->stopping)
        event_loop_stop(scheduler->loop);
}

/* Answer those who asked. A claim whose answer was lost may have taken jobs, so this does not look
 * at `jobs_held`. Returns whether the database is about to say that they are answered. */
static bool finish_jobs(struct scheduler *scheduler, const char *error)
{
    bool sent = jobs_finish(scheduler->database, JOB_KIND_REFRESH, scheduler->token, error,
                            on_jobs_finished, scheduler) == 0;
    scheduler->jobs_held = 0;
    if (!sent)
        let_jobs_go(scheduler);
    return sent;
}

static void end_attempt(struct scheduler *scheduler, enum refresh_result result, const char *reason)
{
    bool finishing = false;
    refresh_plan_end(&scheduler->plan, result, clock_monotonic_ms(), (uint32_t)random_number());
    metric_add(scheduler->metrics.results[result], 1);
    switch (result) {
    case REFRESH_DONE:
        tell_done(scheduler);
        finishing = finish_jobs(scheduler, NULL);
        break;
    case REFRESH_FAILED:
        log_warn("refresh failed", log_text("reason", reason));
        finishing = finish_jobs(scheduler, reason);
        break;
    case REFRESH_LOCKED:
        if (!scheduler->locked_told)
            log_info("another scheduler is refreshing, waiting for it");
        break;
    case REFRESH_ALREADY_DONE:
        log_info("this run was done already, before a restart or by another scheduler");
        break;
    }
    scheduler->locked_told = result == REFRESH_LOCKED;
    if (scheduler->stopping && !finishing)
        event_loop_stop(scheduler->loop);
    loop_timer_start(scheduler->timer, 0);
}

static void on_refreshed(void *arg, enum refresh_result result,
                         const struct database_answer *answer)
{
    end_attempt(arg, result, answer->message);
}

static void on_claimed(void *arg, const struct database_answer *answer)
{
    struct scheduler *scheduler = arg;
    int64_t claimed = jobs_number(answer);
    metric_add(scheduler->metrics.requests, (uint64_t)claimed);
    scheduler->jobs_held += claimed;
    if (answer->status != DATABASE_OK)
        end_attempt(scheduler, REFRESH_FAILED, answer->message);
    else if (scheduler->jobs_held == 0 && scheduler->tick_us == 0)
        end_attempt(scheduler, REFRESH_ALREADY_DONE, NULL); /* another scheduler was first */
    else if (sales_view_refresh(scheduler->database, scheduler->tick_us, on_refreshed, scheduler) !=
             0)
        end_attempt(scheduler, REFRESH_FAILED, "no connection to PostgreSQL");
}

static void begin_attempt(struct scheduler *scheduler)
{
    if (!refresh_plan_begin(&scheduler->plan, asked(scheduler), clock_monotonic_ms(),
                            &scheduler->tick_us))
        return;
    scheduler->attempt_began_us = clock_monotonic_us();
    scheduler->jobs_waiting = 0; /* until the next look */
    if (jobs_claim(scheduler->database, JOB_KIND_REFRESH, scheduler->token, on_claimed,
                   scheduler) != 0)
        end_attempt(scheduler, REFRESH_FAILED, "no connection to PostgreSQL");
}

static void drive(struct scheduler *scheduler)
{
    struct refresh_plan *plan = &scheduler->plan;
    char next[TIMESTAMP_TEXT_SIZE];
    if (refresh_plan_see_clock(plan, timestamp_now_us()))
        log_warn("the wall clock was put back, the schedule follows it",
                 log_text("next_run", utc_text(plan->next_us, next)));
    metric_set(scheduler->metrics.next_run,
               plan->next_us == CRON_NEVER ? 0 : (double)plan->next_us / 1e6);

    metric_set(scheduler->metrics.due,
               plan->due_tick_us == CRON_NEVER ? 0 : (double)plan->due_tick_us / 1e6);

    metric_set(scheduler->metrics.waiting,
               (double)(scheduler->jobs_waiting + scheduler->jobs_held));

    if (scheduler->stopping)
        return;
    bool up = database_up(scheduler->database);
    if (up)
        begin_attempt(scheduler);
    loop_timer_start(scheduler->timer,
                     up ? refresh_plan_wait_ms(plan, asked(scheduler), clock_monotonic_ms())
                        : REFRESH_PLAN_CLOCK_POLL_MS);
}

static void on_timer(void *arg)
{
    drive(arg);
}

static bool succeeded(const struct database_answer *answer)
{
    static struct log_limit limit;
    if (answer->status == DATABASE_FAILED)
        log_limited(&limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement about jobs",
                    (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                               log_text("reason", answer->message),
                                               {0}});
    return answer->status == DATABASE_OK;
}

static void on_beat(void *arg, const struct database_answer *answer)
{
    (void)arg;
    (void)succeeded(answer); /* the gateways notice its absence */
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct scheduler *scheduler = arg;
    scheduler->looking = false;
    scheduler->jobs_waiting = succeeded(answer) ? jobs_number(answer) : 0;
    loop_timer_start(scheduler->timer, 0);
}

static void on_look_timer(void *arg)
{
    struct scheduler *scheduler = arg;
    loop_timer_start(scheduler->look_timer, LOOK_MS);
    if (scheduler->looks++ % LOOKS_PER_BEAT == 0)
        (void)!jobs_beat(scheduler->beat, scheduler->token, on_beat, scheduler);
    if (!scheduler->looking)
        scheduler->looking =
            jobs_claimable(scheduler->beat, JOB_KIND_REFRESH, on_looked, scheduler) == 0;
}

/* Of either connection. */
static void on_database_state(void *arg, bool up, const char *reason)
{
    struct scheduler *scheduler = arg;
    if (up && !(database_up(scheduler->database) && database_up(scheduler->beat)))
        return;
    if (health_set(scheduler->health, up, reason)) {
        if (up)
            log_info("connected to PostgreSQL");
        else
            log_warn("no connection to PostgreSQL", log_text("reason", reason));
    }
    if (up)
        refresh_plan_retry_now(&scheduler->plan);
    scheduler->looks = 0; /* the first one beats */
    loop_timer_start(scheduler->look_timer, 0);
    loop_timer_start(scheduler->timer, 0);
}

static void on_drain_timeout(void *arg)
{
    struct scheduler *scheduler = arg;
    log_warn("stopped while a refresh was running; the server rolls it back");
    event_loop_stop(scheduler->loop);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct scheduler *scheduler = arg;
    loop_watch_want(scheduler->stop_watch, false, false);
    scheduler->stopping = true;
    if (scheduler->plan.running)
        loop_timer_start(scheduler->drain_timer, DRAIN_MS);
    else
        event_loop_stop(scheduler->loop);
}

static struct scheduler_metrics register_metrics(void)
{
    static const char name[] = "scheduler_attempts_total",
                      help[] = "Attempts to refresh, by result";
    return (struct scheduler_metrics){
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

static struct database *connect(struct scheduler *scheduler, const char *dsn, int64_t timeout_ms)
{
    return database_new(scheduler->loop, &(struct database_options){
                                             .dsn = dsn,
                                             .application_name = "scheduler",
                                             .max_in_flight = STATEMENTS_MAX,
                                             .statement_timeout_ms = timeout_ms,
                                             .uses = DATABASE_SCHEDULES,
                                             .on_state = on_database_state,
                                             .arg = scheduler,
                                         });
}

int scheduler_run(const void *arg, int stop_fd, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    struct scheduler scheduler = {.token = (int64_t)random_number()};
    struct cron cron;
    if (cron_parse(settings->schedule, &cron, err) != 0)
        return -1;
    scheduler.metrics = register_metrics();
    scheduler.health = health_check("postgres", HEALTH_REQUIRED);
    init_plan(&scheduler, &cron);

    scheduler.loop = event_loop_new();
    scheduler.timer = event_loop_timer(scheduler.loop, on_timer, &scheduler);
    scheduler.look_timer = event_loop_timer(scheduler.loop, on_look_timer, &scheduler);
    scheduler.drain_timer = event_loop_timer(scheduler.loop, on_drain_timeout, &scheduler);
    scheduler.database = connect(&scheduler, settings->postgres_dsn, REFRESH_TIMEOUT_MS);
    scheduler.beat = connect(&scheduler, settings->postgres_dsn, BEAT_TIMEOUT_MS);
    struct schema_watch *schema_watch = schema_watch_new(scheduler.loop, scheduler.beat);
    scheduler.stop_watch = event_loop_watch(scheduler.loop, stop_fd, on_stop, &scheduler);
    loop_watch_want(scheduler.stop_watch, true, false);
    loop_timer_start(scheduler.timer, 0);
    event_loop_run(scheduler.loop);

    loop_watch_free(scheduler.stop_watch);
    database_free(scheduler.beat);
    schema_watch_free(schema_watch);
    database_free(scheduler.database);
    loop_timer_free(scheduler.drain_timer);
    loop_timer_free(scheduler.look_timer);
    loop_timer_free(scheduler.timer);
    event_loop_free(scheduler.loop);
    return 0;
}
