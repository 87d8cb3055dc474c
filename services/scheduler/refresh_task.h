/* Refreshes the view of daily sales, by schedule and for the jobs of the kind JOB_KIND_REFRESH. */
#ifndef SCHEDULER_REFRESH_TASK_H
#define SCHEDULER_REFRESH_TASK_H

#include "services/loop/event_loop.h"
#include "services/scheduler/cron.h"
#include <stdbool.h>
#include <stdint.h>

struct ledger_task;

struct refresh_task_options {
    const char *dsn;            /* read only in refresh_task_new(), as is the schedule */
    const struct cron *cron;    /* the last one that was parsed */
    struct ledger_task *ledger; /* of the days' totals; outlives the task */
    void (*on_state)(void *arg, bool up, const char *reason); /* as database_options.on_state */
    void (*on_stopped)(void *arg); /* refresh_task_stop() was called, and no refresh runs */
    void *arg;
};

struct refresh_task;

struct refresh_task *refresh_task_new(struct event_loop *loop,
                                      const struct refresh_task_options *options);
/* A refresh that runs is rolled back by the server. NULL is legal. */
void refresh_task_free(struct refresh_task *task);

bool refresh_task_up(const struct refresh_task *task);

/* A connection to PostgreSQL was made (`up`) or lost: look again at what there is to do. */
void refresh_task_wake(struct refresh_task *task, bool up);

/* That the task's jobs carry now. Their leases are to be renewed by jobs_beat(). */
int64_t refresh_task_token(const struct refresh_task *task);

/* So many jobs to refresh can be claimed now. */
void refresh_task_see_waiting(struct refresh_task *task, int64_t jobs);

/* Begin nothing new, and call on_stopped when no refresh runs: also at once. */
void refresh_task_stop(struct refresh_task *task);

#endif
