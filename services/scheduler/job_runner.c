/* A state machine:
 *
 *   idle ──claim──▶ claiming ──▶ running ──▶ ending ──▶ idle
 *                                   └──▶ losing ──────────┘
 *
 * While a job runs, the runner looks each TURN_MS whether it is still held, and whether somebody
 * wants it canceled. When it cannot say what has become of the job, it loses it: it takes a new
 * token, the lease of the old one ends, and a scheduler claims the job again. */
#include "services/scheduler/job_runner.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/jobs.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS 200
#define TURNS_PER_SWEEP 300 /* a minute */
#define RETRY_MS 1000
#define STATEMENT_TIMEOUT_MS 5000
#define STATEMENTS_MAX 8

enum runner_state {
    RUNNER_IDLE,
    RUNNER_CLAIMING,
    RUNNER_RUNNING,
    RUNNER_ENDING, /* PostgreSQL is told how the job ended, or that it is given back */
    RUNNER_LOSING, /* as soon as no statement of the kind's is under way */
};

enum job_end { JOB_END_DONE, JOB_END_FAILED, JOB_END_CANCELED, JOB_END_LET_GO, JOB_END_LOST };
#define JOB_ENDS (JOB_END_LOST + 1)
static const char *const end_names[JOB_ENDS] = {"done", "failed", "canceled", "let_go", "lost"};

struct kind_metrics {
    struct metric_gauge *running, *last_seconds;
    struct metric_counter *ended[JOB_ENDS];
};

struct job_runner {
    struct job_runner_options options;
    struct loop_timer *turn_timer, *step_timer;
    struct database *database;
    struct kind_metrics *metrics; /* as many as kinds */
    enum runner_state state;
    int64_t token;
    struct long_job *job; /* RUNNING, ENDING, LOSING; and its kind and work */
    size_t kind;
    void *work;
    struct job_run run;
    enum job_end end;        /* ENDING */
    int64_t cancel_until_ms; /* run.canceled: the kind has ended the job */
    unsigned turns;
    bool watching; /* a look at the job is not answered yet */
    bool stopping;
};

static void refused(const struct database_answer *answer)
{
    static struct log_limit limit;
    if (answer->status == DATABASE_FAILED)
        log_limited(&limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement about a job",
                    (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                               log_text("reason", answer->message),
                                               {0}});
}

static const struct job_kind *kind_of(const struct job_runner *runner)
{
    return &runner->options.kinds[runner->kind];
}

/* Call the owner last: it may free the runner. */
static void become_idle(struct job_runner *runner)
{
    runner->state = RUNNER_IDLE;
    if (runner->stopping)
        runner->options.on_stopped(runner->options.arg);
}

/* The job is not this runner's any more, or its end is known: forget it. */
static void drop(struct job_runner *runner, enum job_end end, double seconds)
{
    const struct kind_metrics *metrics = &runner->metrics[runner->kind];
    loop_timer_stop(runner->step_timer);
    kind_of(runner)->end(runner->work);
    metric_set(metrics->running, 0);
    metric_add(metrics->ended[end], 1);
    if (end == JOB_END_LOST) {
        runner->token = jobs_new_token();
        log_warn("lost a job; a scheduler goes on with it when its lease has ended",
                 log_number("job", runner->job->id), log_text("kind", runner->job->kind));
    } else if (end == JOB_END_LET_GO) {
        log_info("gave a job back", log_number("job", runner->job->id),
                 log_text("kind", runner->job->kind));
    } else {
        metric_set(metrics->last_seconds, seconds);
        log_info("a job has ended", log_number("job", runner->job->id),
                 log_text("kind", runner->job->kind), log_text("state", end_names[end]),
                 log_number("duration_ms", (int64_t)(seconds * 1e3)));
    }
    long_job_free(runner->job);
    runner->job = NULL;
    become_idle(runner);
}

static void lose(struct job_runner *runner)
{
    runner->state = RUNNER_LOSING;
    if (!runner->run.busy)
        loop_timer_start(runner->step_timer, 0);
}

/* ---- ending ---- */

static void on_swept(void *arg, const struct database_answer *answer)
{
    struct job_runner *runner = arg;
    refused(answer);
    if (database_number(answer) == LONG_JOBS_SWEEP)
        runner->turns = 0; /* there may be more */
}

/* PostgreSQL answers in turn, so that no statement of the kind's is under way any more. */
static void on_ended(void *arg, const struct database_answer *answer)
{
    struct job_runner *runner = arg;
    refused(answer);
    bool known = long_job_hold(answer) != LONG_JOB_LOST;
    double seconds = known && runner->end != JOB_END_LET_GO ? long_jobs_seconds(answer) : 0;
    runner->turns = 0; /* sweep */
    drop(runner, known ? runner->end : JOB_END_LOST, seconds);
}

static void end(struct job_runner *runner, enum job_end end, const char *error)
{
    if (runner->state != RUNNER_RUNNING)
        return;
    int status = end == JOB_END_LET_GO
                     ? long_jobs_let_go(runner->database, runner->job, on_ended, runner)
                     : long_jobs_finish(runner->database, runner->job, end == JOB_END_CANCELED,
                                        error, on_ended, runner);
    if (status != 0) {
        lose(runner);
        return;
    }
    if (error != NULL)
        log_warn(end == JOB_END_CANCELED ? "a canceled job has left something" : "a job failed",
                 log_number("job", runner->job->id), log_text("kind", runner->job->kind),
                 log_text("reason", error));
    runner->state = RUNNER_ENDING;
    runner->end = end;
}

/* ---- running ---- */

/* Each time that somebody wants the job to end. */
static void cancel(struct job_runner *runner)
{
    const struct job_kind *kind = kind_of(runner);
    if (kind->cancel == NULL) {
        end(runner, JOB_END_CANCELED, NULL);
    } else if (!runner->run.canceled) {
        runner->run.canceled = true;
        runner->cancel_until_ms = clock_monotonic_ms() + JOB_CANCEL_MS;
        kind->cancel(runner->work);
        job_run_step_in(&runner->run, 0);
    } else if (clock_monotonic_ms() >= runner->cancel_until_ms) {
        end(runner, JOB_END_CANCELED, "it could not undo within 60 s what it had begun");
        _Static_assert(JOB_CANCEL_MS == 60000, "the words");
    }
}

static void on_watched(void *arg, const struct database_answer *answer)
{
    struct job_runner *runner = arg;
    runner->watching = false;
    refused(answer);
    if (runner->state != RUNNER_RUNNING || answer->status != DATABASE_OK)
        return;
    switch (long_job_hold(answer)) {
    case LONG_JOB_HELD:
        break;
    case LONG_JOB_CANCELED:
        cancel(runner);
        break;
    case LONG_JOB_LOST:
        lose(runner);
        break;
    }
}

static size_t find_kind(const struct job_runner *runner, const char *name)
{
    size_t kind = 0;
    while (strcmp(runner->options.kinds[kind].name, name) != 0) {
        kind++;
        assert(kind < runner->options.kind_count); /* only these are claimed */
    }
    return kind;
}

static void on_claimed(void *arg, const struct database_answer *answer)
{
    struct job_runner *runner = arg;
    if (!long_jobs_claim_lost(answer))
        refused(answer);
    if (answer->status != DATABASE_OK)
        runner->token = jobs_new_token(); /* it may have a job under the old one */
    runner->job = answer->status == DATABASE_OK ? long_jobs_claimed(answer, runner->token) : NULL;
    if (runner->job == NULL) {
        become_idle(runner);
        return;
    }
    runner->kind = find_kind(runner, runner->job->kind);
    runner->run =
        (struct job_run){.job = runner->job, .database = runner->database, .runner = runner};
    runner->state = RUNNER_RUNNING;
    runner->work = kind_of(runner)->begin(kind_of(runner)->arg, &runner->run);
    metric_set(runner->metrics[runner->kind].running, 1);
    log_info("a job begins or goes on", log_number("job", runner->job->id),
             log_text("kind", runner->job->kind), log_text("by", runner->job->requested_by));
    loop_timer_start(runner->step_timer, 0);
    if (runner->stopping)
        end(runner, JOB_END_LET_GO, NULL);
    else if (runner->job->cancel)
        cancel(runner);
}

static void claim(struct job_runner *runner)
{
    const char *names[LONG_JOB_KINDS_MAX];
    for (size_t i = 0; i < runner->options.kind_count; i++)
        names[i] = runner->options.kinds[i].name;
    if (long_jobs_claim(runner->database, names, runner->options.kind_count, runner->token,
                        on_claimed, runner) == 0)
        runner->state = RUNNER_CLAIMING;
}

static void on_turn(void *arg)
{
    struct job_runner *runner = arg;
    loop_timer_start(runner->turn_timer, TURN_MS);
    if (runner->stopping)
        return;
    if (runner->turns++ % TURNS_PER_SWEEP == 0)
        (void)!long_jobs_sweep(runner->database, on_swept, runner);
    if (runner->state == RUNNER_IDLE)
        claim(runner);
    else if (runner->state == RUNNER_RUNNING && !runner->watching)
        runner->watching = long_jobs_watch(runner->database, runner->job, on_watched, runner) == 0;
}

static void on_step(void *arg)
{
    struct job_runner *runner = arg;
    if (runner->run.busy)
        return;
    if (runner->state == RUNNER_LOSING)
        drop(runner, JOB_END_LOST, 0);
    else if (runner->state == RUNNER_RUNNING)
        kind_of(runner)->step(runner->work);
}

/* ---- for kinds ---- */

void job_run_step_in(struct job_run *run, int64_t delay_ms)
{
    if (run->runner->state == RUNNER_RUNNING)
        loop_timer_start(run->runner->step_timer, delay_ms);
}

void job_run_sent(struct job_run *run, int status)
{
    run->busy = status == 0;
    if (status != 0)
        job_run_step_in(run, RETRY_MS);
}

bool job_run_answered(struct job_run *run, const struct database_answer *answer, bool conditional)
{
    struct job_runner *runner = run->runner;
    run->busy = false;
    loop_timer_start(runner->step_timer, 0);
    if (runner->state != RUNNER_RUNNING)
        return false;
    switch (answer->status) {
    case DATABASE_OK:
        if (!conditional || long_job_hold(answer) != LONG_JOB_LOST)
            return true;
        lose(runner);
        return false;
    case DATABASE_UNAVAILABLE:
        if (answer->unexecuted)
            loop_timer_start(runner->step_timer, RETRY_MS);
        else
            lose(runner);
        return false;
    case DATABASE_FAILED:
        refused(answer);
        if (database_failure_passes(answer))
            loop_timer_start(runner->step_timer, RETRY_MS);
        else
            end(runner, JOB_END_FAILED, answer->message);
        return false;
    }
    return false;
}

void job_run_done(struct job_run *run)
{
    end(run->runner, JOB_END_DONE, NULL);
}

void job_run_canceled(struct job_run *run, const char *left)
{
    end(run->runner, JOB_END_CANCELED, left);
}

void job_run_fail(struct job_run *run, const char *error)
{
    end(run->runner, JOB_END_FAILED, error);
}

/* ---- life ---- */

static void on_state(void *arg, bool up, const char *reason)
{
    struct job_runner *runner = arg;
    runner->options.on_state(runner->options.arg, up, reason);
}

static struct kind_metrics register_metrics(const char *kind)
{
    struct kind_metrics metrics;
    char labels[80];
    snprintf(labels, sizeof labels, "kind=\"%s\"", kind);
    metrics.running = metric_gauge("scheduler_jobs_running", labels,
                                   "Jobs that take long and run in this process, by kind");
    metrics.last_seconds =
        metric_gauge("scheduler_job_last_duration_seconds", labels,
                     "From its first beginning to its end, of the kind's last job that ended here");
    for (size_t i = 0; i < JOB_ENDS; i++) {
        snprintf(labels, sizeof labels, "kind=\"%s\",end=\"%s\"", kind, end_names[i]);
        metrics.ended[i] = metric_counter("scheduler_jobs_ended_total", labels,
                                          "Jobs that take long and left this process, by kind");
    }
    return metrics;
}

struct job_runner *job_runner_new(struct event_loop *loop, const struct job_runner_options *options)
{
    struct job_runner *runner = memory_new(sizeof *runner);
    assert(options->kind_count <= LONG_JOB_KINDS_MAX);
    *runner = (struct job_runner){
        .options = *options,
        .turn_timer = event_loop_timer(loop, on_turn, runner),
        .step_timer = event_loop_timer(loop, on_step, runner),
        .metrics = memory_new_array(options->kind_count, sizeof *runner->metrics),
        .token = jobs_new_token(),
        .database = database_new(loop,
                                 &(struct database_options){
                                     .dsn = options->dsn,
                                     .application_name = options->name,
                                     .max_in_flight = STATEMENTS_MAX,
                                     .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                     .uses = DATABASE_SCHEDULES | DATABASE_ARCHIVES,
                                     .on_state = on_state,
                                     .arg = runner,
                                 }),
    };
    for (size_t i = 0; i < options->kind_count; i++)
        runner->metrics[i] = register_metrics(options->kinds[i].name);
    runner->options.dsn = NULL; /* the caller's string is not kept */
    loop_timer_start(runner->turn_timer, TURN_MS);
    return runner;
}

void job_runner_free(struct job_runner *runner)
{
    if (runner == NULL)
        return;
    database_free(runner->database);
    if (runner->job != NULL)
        kind_of(runner)->end(runner->work);
    long_job_free(runner->job);
    loop_timer_free(runner->step_timer);
    loop_timer_free(runner->turn_timer);
    free(runner->metrics);
    free(runner);
}

bool job_runner_up(const struct job_runner *runner)
{
    return database_up(runner->database);
}

int64_t job_runner_token(const struct job_runner *runner)
{
    return runner->token;
}

void job_runner_stop(struct job_runner *runner)
{
    runner->stopping = true;
    if (runner->state == RUNNER_IDLE)
        runner->options.on_stopped(runner->options.arg);
    else
        end(runner, JOB_END_LET_GO, NULL);
}
