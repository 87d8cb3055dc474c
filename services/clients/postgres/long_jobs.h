/* Jobs that take long, a scheduler's side (jobs.h): each is done by itself, in steps. How far it
 * has come is in `done` of `total`, and in `checkpoint` and `result` what a scheduler needs that
 * goes on with it. Each function returns 0 or -1 as database_send(). */
#ifndef CLIENTS_POSTGRES_LONG_JOBS_H
#define CLIENTS_POSTGRES_LONG_JOBS_H

#include "services/clients/postgres/connection.h"

/* A job that was claimed; free it with long_job_free(). */
struct long_job {
    int64_t id, token;
    char *kind, *requested_by;
    char *parameters; /* JSON; "{}" when the job has none */
    char *checkpoint; /* NULL: none yet */
    bool cancel;
};

#define LONG_JOB_KINDS_MAX 16

/* Claim a job of these kinds that waits or whose lease has ended: the oldest that was begun before,
 * else the oldest. Only one job about the index runs at a time, of all schedulers together. While
 * one runs, a claim passes over the others. When two schedulers claim at once, the later claim is
 * refused: long_jobs_claim_lost(). */
int long_jobs_claim(struct database *database, const char *const *kinds, size_t count,
                    int64_t token, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

bool long_jobs_claim_lost(const struct database_answer *answer);

/* The job that the answer to it (which is DATABASE_OK) tells, or NULL when there was none. */
struct long_job *long_jobs_claimed(const struct database_answer *answer, int64_t token);
void long_job_free(struct long_job *job); /* NULL is legal */

enum long_job_hold {
    LONG_JOB_HELD,
    LONG_JOB_CANCELED, /* held, and somebody wants it to end */
    LONG_JOB_LOST,     /* another scheduler's, or nobody's: what was to be written was not */
};

/* What the answer to any of the statements below tells, and to those of letter_jobs.h. */
enum long_job_hold long_job_hold(const struct database_answer *answer);

/* Does the job still belong to its token? */
int long_jobs_watch(struct database *database, const struct long_job *job,
                    database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* How far a job has come. `total` below 0 leaves it as it is, as NULL does the others. */
struct long_job_progress {
    int64_t done, total;
    const char *checkpoint;
    const char *result; /* JSON, for people */
};
int long_jobs_progress(struct database *database, const struct long_job *job,
                       const struct long_job_progress *progress, database_done_fn *on_done,
                       void *arg) __attribute__((warn_unused_result));

/* The job has ended: canceled, or failed when there is an `error`, or done. The error of a canceled
 * job says what it has left. Forgets the oldest finished jobs of the kind beyond JOBS_KEPT, with
 * their items. */
int long_jobs_finish(struct database *database, const struct long_job *job, bool canceled,
                     const char *error, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* The seconds from its first claim to its end, in the answer to it. */
double long_jobs_seconds(const struct database_answer *answer);

/* Give the job back: any scheduler may claim it at once, and go on from its checkpoint. */
int long_jobs_let_go(struct database *database, const struct long_job *job,
                     database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* Delete items that finished jobs have left, at most LONG_JOBS_SWEEP. The number: how many. */
#define LONG_JOBS_SWEEP 10000
int long_jobs_sweep(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
