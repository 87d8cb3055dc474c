/* When to refresh, and whom a refresh serves: ticks of the schedule and requests. Pure: clocks,
 * randomness and results come in, decisions come out.
 *
 * One attempt at a time. It serves the requests that it has claimed before (jobs.h), so what was
 * committed before a request is in its refresh; those that arrive while one runs share the next. An
 * attempt that finds another scheduler at work is repeated until its own turn comes.
 *
 * A tick is done by whichever scheduler comes first; the history in the database tells the others.
 * When ticks were missed (nothing ran, or the wall clock was put forward) the latest of them is run
 * once. When the wall clock was put back, the schedule follows it, and the history keeps a tick
 * from being done twice. A tick whose attempt fails is tried again, with backoff, until it is done
 * or the next one takes its place. */
#ifndef SCHEDULER_REFRESH_PLAN_H
#define SCHEDULER_REFRESH_PLAN_H

#include "services/base/backoff.h"
#include "services/clients/postgres/sales_view.h"
#include "services/scheduler/cron.h"
#include <stdbool.h>
#include <stdint.h>

#define REFRESH_PLAN_LOCK_POLL_MS 250
#define REFRESH_PLAN_CLOCK_POLL_MS 2000 /* the wall clock is looked at this often at least */

struct refresh_plan {
    struct cron cron;
    int64_t next_us;     /* instant of the next tick, or CRON_NEVER */
    int64_t wall_us;     /* as last seen */
    int64_t due_tick_us; /* name of the tick to be done, or CRON_NEVER */
    bool running;
    int64_t running_tick_us;  /* or CRON_NEVER */
    int64_t poll_at_ms;       /* no attempt before: another scheduler is at work */
    int64_t retry_tick_at_ms; /* no attempt for the tick alone before: it failed */
    struct backoff backoff;
};

/* The latest tick before now is due at once: the history knows whether it was done. */
void refresh_plan_init(struct refresh_plan *plan, const struct cron *cron, int64_t wall_us);

/* Look at the wall clock; call it at least each REFRESH_PLAN_CLOCK_POLL_MS. Returns whether it was
 * put back since the last look. */
bool refresh_plan_see_clock(struct refresh_plan *plan, int64_t wall_us);

/* Begin an attempt? `asked`: there are requests waiting. If true, it has begun, and *ret_tick_us is
 * its tick or 0 for none. */
bool refresh_plan_begin(struct refresh_plan *plan, bool asked, int64_t now_ms,
                        int64_t *ret_tick_us);

/* The attempt has ended. After REFRESH_DONE and REFRESH_FAILED its requests have their answer;
 * after the other results they go with the next attempt. */
void refresh_plan_end(struct refresh_plan *plan, enum refresh_result result, int64_t now_ms,
                      uint32_t random);

/* PostgreSQL can be reached again: do not wait any longer. */
void refresh_plan_retry_now(struct refresh_plan *plan);

/* How long from now, in ms, until refresh_plan_see_clock() and refresh_plan_begin() are to be
 * called again if nothing else happens; at most REFRESH_PLAN_CLOCK_POLL_MS. */
int64_t refresh_plan_wait_ms(const struct refresh_plan *plan, bool asked, int64_t now_ms);

#endif
