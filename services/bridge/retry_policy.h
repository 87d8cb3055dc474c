/* When to try again: the policy of the bridge's retries, apart from the bookkeeping in flow.c.
 *
 * A stage is a backend as seen through its workers. It is
 *   up        orders are pushed as fast as workers take them;
 *   down      it answered "retry" and, for a second since, nothing else: only a probe of a few
 *             orders goes out per backoff step, until one is done or rejected;
 *   systemic  it rejected many orders in a row without one success: that is the configuration (a
 *             wrong mapping, a new constraint), not the orders. Probed like a stage that is down,
 *             and its rejects are no longer believed. */
#ifndef BRIDGE_RETRY_POLICY_H
#define BRIDGE_RETRY_POLICY_H

#include "services/base/backoff.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGE_DOWN_AFTER_MS 1000
#define STAGE_PROBE_ORDERS 10
#define STAGE_SYSTEMIC_REJECTS 20
#define RETRY_EXHAUSTED_STRIKES 20

enum stage_state { STAGE_UP, STAGE_DOWN, STAGE_SYSTEMIC };

const char *stage_state_name(enum stage_state state);

/* A plain value. All `random` are uniform 32-bit numbers, all times on one monotonic clock. */
struct stage_health {
    enum stage_state state;
    uint64_t dones;          /* ever */
    unsigned rejects_in_row; /* since the last done */
    bool failing;            /* a retry came since the last done, the first of them at … */
    int64_t failing_since_ms;
    struct backoff probe_backoff;
    int64_t next_probe_ms; /* unless up */
};

void stage_health_init(struct stage_health *health);

/* Outcomes of orders, one call each. */
void stage_health_done(struct stage_health *health);
void stage_health_retry(struct stage_health *health, int64_t now_ms, uint32_t random);
/* Whether it took the order or not, it is there: a conflict, for example. */
void stage_health_judged(struct stage_health *health);
/* Returns whether the reject is to be believed; if not, treat the order as one to retry. */
bool stage_health_reject(struct stage_health *health, int64_t now_ms, uint32_t random);

/* No order is left to try it with: it is up until one fails. If it was systemic, the next reject in
 * a row makes it so again. */
void stage_health_forget(struct stage_health *health);

/* How many orders may be pushed now, at most `limit`. A probe that was pushed must be told. */
size_t stage_health_allowance(const struct stage_health *health, int64_t now_ms, size_t limit);
void stage_health_probed(struct stage_health *health, int64_t now_ms, uint32_t random);

/* How long an order waits that failed for the `attempt`th time (from 1), with full jitter. */
int64_t retry_delay_ms(unsigned attempt, uint32_t random);

#endif
