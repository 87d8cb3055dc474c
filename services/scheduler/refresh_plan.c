/* Decides when the scheduler refreshes; see the header for the rules. */
#include "services/scheduler/refresh_plan.h"
#include <assert.h>

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 60000
#define CLOCK_STEP_US 1000000 /* less is a clock being slewed, not put back */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void set_due(struct refresh_plan *plan, int64_t instant_us)
{
    plan->due_tick_us = cron_tick(&plan->cron, instant_us);
    plan->retry_tick_at_ms = INT64_MIN;
    backoff_reset(&plan->backoff);
}

void refresh_plan_init(struct refresh_plan *plan, const struct cron *cron, int64_t wall_us)
{
    *plan = (struct refresh_plan){
        .cron = *cron,
        .next_us = cron_next(cron, wall_us),
        .wall_us = wall_us,
        .due_tick_us = CRON_NEVER,
        .running_tick_us = CRON_NEVER,
        .poll_at_ms = INT64_MIN,
        .retry_tick_at_ms = INT64_MIN,
        .backoff = {.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS},
    };
    int64_t latest_us = cron_latest(cron, wall_us);
    if (latest_us != CRON_NEVER)
        set_due(plan, latest_us);
}

bool refresh_plan_see_clock(struct refresh_plan *plan, int64_t wall_us)
{
    bool put_back = wall_us < plan->wall_us - CLOCK_STEP_US;
    plan->wall_us = wall_us;
    if (put_back)
        plan->next_us = cron_next(&plan->cron, wall_us);
    if (plan->next_us == CRON_NEVER || wall_us < plan->next_us)
        return put_back;

    int64_t after_us = cron_next(&plan->cron, plan->next_us);
    bool missed = after_us != CRON_NEVER && after_us <= wall_us;
    set_due(plan, missed ? cron_latest(&plan->cron, wall_us) : plan->next_us);
    plan->next_us = cron_next(&plan->cron, wall_us);
    return put_back;
}

/* The earliest moment for the next attempt; INT64_MAX when there is nothing to do. */
static int64_t begin_at_ms(const struct refresh_plan *plan, bool asked)
{
    int64_t at_ms = INT64_MAX;
    if (plan->running)
        return at_ms;
    if (plan->due_tick_us != CRON_NEVER)
        at_ms = plan->retry_tick_at_ms;
    if (asked)
        at_ms = INT64_MIN;
    return at_ms > plan->poll_at_ms ? at_ms : plan->poll_at_ms;
}

bool refresh_plan_begin(struct refresh_plan *plan, bool asked, int64_t now_ms, int64_t *ret_tick_us)
{
    if (now_ms < begin_at_ms(plan, asked))
        return false;
    plan->running = true;
    plan->running_tick_us = plan->due_tick_us;
    *ret_tick_us = plan->due_tick_us != CRON_NEVER ? plan->due_tick_us : 0;
    return true;
}

void refresh_plan_end(struct refresh_plan *plan, enum refresh_result result, int64_t now_ms,
                      uint32_t random)
{
    assert(plan->running);
    plan->running = false;
    /* Another tick may have become due meanwhile: this result is not its own. */
    bool still_due =
        plan->running_tick_us != CRON_NEVER && plan->running_tick_us == plan->due_tick_us;
    switch (result) {
    case REFRESH_DONE:
    case REFRESH_ALREADY_DONE:
        if (still_due) {
            plan->due_tick_us = CRON_NEVER;
            backoff_reset(&plan->backoff);
        }
        break;
    case REFRESH_FAILED:
        if (still_due)
            plan->retry_tick_at_ms = now_ms + backoff_next_ms(&plan->backoff, random);
        break;
    case REFRESH_LOCKED:
        plan->poll_at_ms = now_ms + REFRESH_PLAN_LOCK_POLL_MS;
        break;
    }
}

void refresh_plan_retry_now(struct refresh_plan *plan)
{
    plan->retry_tick_at_ms = INT64_MIN;
    backoff_reset(&plan->backoff);
}

int64_t refresh_plan_wait_ms(const struct refresh_plan *plan, bool asked, int64_t now_ms)
{
    int64_t wait_ms = REFRESH_PLAN_CLOCK_POLL_MS;
    if (plan->next_us != CRON_NEVER)
        wait_ms = smaller(wait_ms, (plan->next_us - plan->wall_us) / 1000 + 1);
    int64_t at_ms = begin_at_ms(plan, asked);
    if (at_ms <= now_ms)
        return 0;
    if (at_ms != INT64_MAX)
        wait_ms = smaller(wait_ms, at_ms - now_ms);
    return wait_ms < 0 ? 0 : wait_ms;
}
