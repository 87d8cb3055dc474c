/* When to refresh, and whom a refresh serves: ticks of the schedule and requests. Pure: clocks,
 * randomness and results come in, decisions come out.
 *
 * One attempt at a time. Requests belong to the attempt that begins next, so what was committed
 * before a request is in its refresh; those that arrive while one runs share the next. Requests
 * begin at most one refresh a second, so that a burst of them makes two, however fast the database
 * is. An attempt that finds another scheduler at work is repeated until its own turn comes.
 *
 * A tick is done by whichever scheduler comes first; the history in the database tells the others.
 * When ticks were missed (nothing ran, or the wall clock was put forward) the latest of them is run
 * once. When the wall clock was put back, the schedule follows it, and the history keeps a tick
 * from being done twice. A tick whose attempt fails is tried again, with backoff, until it is done
 * or the next one takes its place. */
#ifndef SCHEDULER_REFRESH_PLAN_H
#define SCHEDULER_REFRESH_PLAN_H

#include "services/base/backoff.h"
#include "services/scheduler/cron.h"
#include <stdbool.h>
#include <stdint.h>

#define REFRESH_PLAN_LOCK_POLL_MS 250
#define REFRESH_PLAN_SPACING_MS 1000    /* between the beginnings of refreshes on request */
#define REFRESH_PLAN_CLOCK_POLL_MS 2000 /* the wall clock is looked at this often at least */

struct refresh_plan {
    struct cron cron;
    int64_t next_us;     /* instant of the next tick, or CRON_NEVER */
    int64_t wall_us;     /* as last seen */
    int64_t due_tick_us; /* name of the tick to be done, or CRON_NEVER */
    uint64_t begun;      /* attempts so far; a request belongs to number begun + 1 */
    bool running;
    int64_t running_tick_us; /* or CRON_NEVER */
    int64_t running_since_ms;
    int64_t spaced_until_ms;  /* no attempt for requests alone before: one has just been made */
    int64_t poll_at_ms;       /* no attempt before: another scheduler is at work */
    int64_t retry_tick_at_ms; /* no attempt for the tick alone before: it failed */
    struct backoff backoff;
};

/* The latest tick before now is due at once: the history knows whether it was done. */
void refresh_plan_init(struct refresh_plan *plan, const struct cron *cron, int64_t wall_us);

/* Look at the wall clock; call it at least each REFRESH_PLAN_CLOCK_POLL_MS. Returns whether it was
 * put back since the last look. */
bool refresh_plan_see_clock(struct refresh_plan *plan, int64_t wall_us);

/* The number of the attempt to which a request that arrives now belongs. */
uint64_t refresh_plan_join(const struct refresh_plan *plan);

/* Begin an attempt? `asked`: there are requests waiting. If true, it has begun, and *ret_tick_us is
 * its tick or 0 for none. */
bool refresh_plan_begin(struct refresh_plan *plan, bool asked, int64_t now_ms,
                        int64_t *ret_tick_us);

enum refresh_attempt {
    ATTEMPT_DONE, /* the view is refreshed */
    ATTEMPT_FAILED,
    ATTEMPT_LOCKED,       /* another scheduler is at work */
    ATTEMPT_ALREADY_DONE, /* nothing was refreshed: the history has the tick */
};

/* The attempt has ended. ATTEMPT_DONE and ATTEMPT_FAILED are the answer for the requests that
 * belong to it or to an earlier one; after the others these go with the next attempt. */
void refresh_plan_end(struct refresh_plan *plan, enum refresh_attempt result, int64_t now_ms,
                      uint32_t random);

/* PostgreSQL can be reached again: do not wait any longer. */
void refresh_plan_retry_now(struct refresh_plan *plan);

/* How long from now, in ms, until refresh_plan_see_clock() and refresh_plan_begin() are to be
 * called again if nothing else happens; at most REFRESH_PLAN_CLOCK_POLL_MS. */
int64_t refresh_plan_wait_ms(const struct refresh_plan *plan, bool asked, int64_t now_ms);

#endif
