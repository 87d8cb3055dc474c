/* Jobs: work that gateways hand to the schedulers, in the table `jobs`.
 *
 *   waiting ──claimed──▶ running ──finished──▶ done, failed or canceled
 *
 * A claimed job belongs to the claimer's token, under a lease of JOBS_LEASE_MS by the database's
 * clock that jobs_beat() renews. When the lease has ended, another scheduler may claim the job. All
 * that a claimer writes depends on its token and its lease, so that one that was frozen meanwhile
 * changes nothing any more.
 *
 * One refresh serves all jobs of its kind that wait; kinds of which each job is done by itself are
 * in long_jobs.h. Each function returns 0 or -1 as database_send(). */
#ifndef CLIENTS_POSTGRES_JOBS_H
#define CLIENTS_POSTGRES_JOBS_H

#include "services/clients/postgres/connection.h"

#define JOB_KIND_REFRESH "refresh" /* of the daily sales */

/* Of the index. JOB_KINDS_INDEX is all of them, for SQL. */
#define JOB_KIND_REINDEX "reindex"
#define JOB_KIND_VERIFY "verify"
#define JOB_KIND_REPAIR "repair"
#define JOB_KINDS_INDEX "'reindex', 'verify', 'repair'"

#define JOBS_LEASE_MS 5000
#define JOBS_SCHEDULER_GONE_MS 5000 /* without a beat; by the database's clock, too */
#define JOBS_SPACING_MS 1000        /* jobs of a kind are begun at most this often */
#define JOBS_KEPT 10000             /* of the finished ones of a kind */

/* What functions below call the number is database_number() of their answer. */

/* ---- a gateway's side ---- */

/* Ask for a job that begins after this call: one that waits already, or a new one. The number is
 * the job's id; 0 when no scheduler was seen lately, and nothing was added. */
int jobs_request(struct database *database, const char *kind, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Look at the jobs of a kind from an id on. The two functions after it read the answer (which is
 * DATABASE_OK). */
int jobs_look(struct database *database, const char *kind, int64_t first_id,
              database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
bool jobs_scheduler_seen(const struct database_answer *look);
enum job_state {
    JOB_UNFINISHED, /* or not in the answer */
    JOB_DONE,
    JOB_FAILED,
};
enum job_state jobs_state(const struct database_answer *look, int64_t id);

/* ---- a scheduler's side ---- */

/* A token that no claimer had before: random. */
int64_t jobs_new_token(void);

/* A scheduler is there: say so, and renew the leases of its tokens' jobs. The commit does not wait
 * for the disk. */
#define JOBS_TOKENS_MAX 4
int jobs_beat(struct database *database, const int64_t *tokens, size_t count,
              database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* ---- a scheduler's side: a kind of which one turn serves all jobs ---- */

/* The number: jobs of a kind that can be claimed now. */
int jobs_claimable(struct database *database, const char *kind, database_done_fn *on_done,
                   void *arg) __attribute__((warn_unused_result));

/* Claim all jobs of a kind that can be claimed now. The number: how many. */
int jobs_claim(struct database *database, const char *kind, int64_t token,
               database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The token's jobs of a kind are done, or have failed for the reason `error`. What is no longer the
 * token's is left alone. Forgets the oldest finished jobs of the kind beyond JOBS_KEPT. */
int jobs_finish(struct database *database, const char *kind, int64_t token, const char *error,
                database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
