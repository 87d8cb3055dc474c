/* Letters are spread evenly over a second; what was missed is not caught up. */
#include "services/scheduler/replay_plan.h"
#include <assert.h>

void replay_plan_init(struct replay_plan *plan, int64_t per_second, unsigned deaths)
{
    *plan = (struct replay_plan){
        .interval_us = (1000000 + per_second - 1) / per_second,
        .next_us = INT64_MIN,
        .deaths = deaths,
    };
}

void replay_plan_found(struct replay_plan *plan)
{
    plan->unknown++;
}

void replay_plan_replayed(struct replay_plan *plan, int64_t now_us)
{
    plan->unknown++;
    plan->next_us = now_us + plan->interval_us;
}

int64_t replay_plan_wait_ms(const struct replay_plan *plan, int64_t now_us)
{
    if (plan->unknown >= REPLAY_UNKNOWN_MAX || replay_plan_broken(plan))
        return -1;
    return now_us >= plan->next_us ? 0 : (plan->next_us - now_us + 999) / 1000;
}

void replay_plan_searchable(struct replay_plan *plan)
{
    assert(plan->unknown > 0);
    plan->unknown--;
    if (!replay_plan_broken(plan))
        plan->deaths = 0;
}

void replay_plan_died_again(struct replay_plan *plan)
{
    assert(plan->unknown > 0);
    plan->unknown--;
    plan->deaths++;
}

bool replay_plan_broken(const struct replay_plan *plan)
{
    return plan->deaths >= REPLAY_DEATHS_MAX;
}
