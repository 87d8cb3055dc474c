/* Runs the jobs that take long, one at a time: claims a job of the kinds that it knows, lets the
 * kind do it step by step, and ends it. The job is under a lease that the scheduler's beat renews;
 * when this scheduler dies, another one goes on from the job's last checkpoint. A new kind is a
 * row in the table of kinds. */
#ifndef SCHEDULER_JOB_RUNNER_H
#define SCHEDULER_JOB_RUNNER_H

#include "services/clients/postgres/long_jobs.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>
#include <stdint.h>

/* A job that runs, as its kind sees it. Lives until the kind's end(). */
struct job_run {
    const struct long_job *job;
    struct database *database; /* for the kind's statements, of which at most one is under way */
    struct job_runner *runner;
    bool busy;     /* one is */
    bool canceled; /* for a kind with cancel(): somebody wants the job to end */
};

struct job_kind {
    const char *name;
    void *arg; /* the kind's own */
    /* Begin, or go on from the job's checkpoint. What it returns is given to the others. */
    void *(*begin)(void *arg, struct job_run *run);
    /* Do the next thing. Called soon after begin(), after each job_run_answered(), and after each
     * job_run_step_in(); never while a statement of the kind's is under way. */
    void (*step)(void *work);
    /* Somebody wants the job to end: called once, maybe while a statement is under way; step()
     * comes soon. The kind undoes what it has to, within JOB_CANCEL_MS, and ends the job. NULL:
     * there is nothing to undo, and the runner ends the job. */
    void (*cancel)(void *work);
    void (*end)(void *work); /* nothing of it is under way, in PostgreSQL */
};

#define JOB_CANCEL_MS (60 * 1000)

struct job_runner_options {
    const char *dsn;              /* read only in job_runner_new() */
    const char *name;             /* of the connection; lives for ever */
    const struct job_kind *kinds; /* outlive the runner */
    size_t kind_count;            /* at most LONG_JOB_KINDS_MAX */
    void (*on_state)(void *arg, bool up, const char *reason); /* as database_options.on_state */
    void (*on_stopped)(void *arg); /* after job_runner_stop(), when no job runs */
    void *arg;
};

struct job_runner *job_runner_new(struct event_loop *loop,
                                  const struct job_runner_options *options);
void job_runner_free(struct job_runner *runner); /* NULL is legal */

bool job_runner_up(const struct job_runner *runner);

/* That the runner's job carries now. Its lease is to be renewed by jobs_beat(). */
int64_t job_runner_token(const struct job_runner *runner);

/* Claim nothing new, give the job that runs back, so that another scheduler takes it over at once,
 * and call on_stopped: also at once. */
void job_runner_stop(struct job_runner *runner);

/* ---- for kinds ---- */

/* Call step() after this time, instead of what was set before. */
void job_run_step_in(struct job_run *run, int64_t delay_ms);

/* A statement was given to the database, with this status (0 or -1). When it was not taken, step()
 * tries again. */
void job_run_sent(struct job_run *run, int status);

/* It was answered; step() comes next. `conditional`: the answer is for long_job_hold(). Returns
 * whether it is DATABASE_OK, and whether the job is held. Else nothing that the statement says or
 * writes has happened: it is tried again, or the job is lost, or it has failed, and the kind does
 * nothing more about it. */
bool job_run_answered(struct job_run *run, const struct database_answer *answer, bool conditional)
    __attribute__((warn_unused_result));

/* All is done; or what was canceled is undone, but for what `left` says (NULL: all is); or the job
 * has failed, for this reason. There is no step() any more. */
void job_run_done(struct job_run *run);
void job_run_canceled(struct job_run *run, const char *left);
void job_run_fail(struct job_run *run, const char *error);

#endif
