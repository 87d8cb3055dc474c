/* The numbers of the retry policy, and the health of one stage. */
#include "services/bridge/retry_policy.h"

#define PROBE_BASE_MS 200
#define PROBE_CAP_MS 2000 /* a stage that is back is noticed within this */
#define RETRY_BASE_MS 100
#define RETRY_CAP_MS 10000

const char *stage_state_name(enum stage_state state)
{
    switch (state) {
    case STAGE_UP:
        return "up";
    case STAGE_DOWN:
        return "down";
    case STAGE_SYSTEMIC:
        return "systemic";
    }
    return "invalid";
}

void stage_health_init(struct stage_health *health)
{
    *health = (struct stage_health){
        .state = STAGE_UP,
        .probe_backoff = {.base_ms = PROBE_BASE_MS, .cap_ms = PROBE_CAP_MS},
    };
}

static void set_state(struct stage_health *health, enum stage_state state, int64_t now_ms,
                      uint32_t random)
{
    if (health->state == state)
        return;
    health->state = state;
    backoff_reset(&health->probe_backoff);
    if (state != STAGE_UP)
        stage_health_probed(health, now_ms, random);
}

static void set_up(struct stage_health *health)
{
    health->failing = false;
    set_state(health, STAGE_UP, 0, 0);
}

void stage_health_done(struct stage_health *health)
{
    health->dones++;
    health->rejects_in_row = 0;
    set_up(health);
}

void stage_health_judged(struct stage_health *health)
{
    if (health->state != STAGE_SYSTEMIC)
        set_up(health);
}

void stage_health_retry(struct stage_health *health, int64_t now_ms, uint32_t random)
{
    if (!health->failing) {
        health->failing = true;
        health->failing_since_ms = now_ms;
    }
    if (health->state == STAGE_UP && now_ms - health->failing_since_ms >= STAGE_DOWN_AFTER_MS)
        set_state(health, STAGE_DOWN, now_ms, random);
}

bool stage_health_reject(struct stage_health *health, int64_t now_ms, uint32_t random)
{
    stage_health_judged(health);
    if (health->state != STAGE_SYSTEMIC && ++health->rejects_in_row >= STAGE_SYSTEMIC_REJECTS)
        set_state(health, STAGE_SYSTEMIC, now_ms, random);
    return health->state != STAGE_SYSTEMIC;
}

void stage_health_forget(struct stage_health *health)
{
    if (health->state == STAGE_SYSTEMIC)
        health->rejects_in_row = STAGE_SYSTEMIC_REJECTS - 1;
    set_up(health);
}

size_t stage_health_allowance(const struct stage_health *health, int64_t now_ms, size_t limit)
{
    if (health->state == STAGE_UP)
        return limit;
    if (now_ms < health->next_probe_ms)
        return 0;
    return limit < STAGE_PROBE_ORDERS ? limit : STAGE_PROBE_ORDERS;
}

void stage_health_probed(struct stage_health *health, int64_t now_ms, uint32_t random)
{
    health->next_probe_ms = now_ms + backoff_next_ms(&health->probe_backoff, random);
}

int64_t retry_delay_ms(unsigned attempt, uint32_t random)
{
    struct backoff backoff = {.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS};
    backoff.failures = attempt > 0 ? attempt - 1 : 0;
    return backoff_next_ms(&backoff, random);
}
