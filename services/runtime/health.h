/* Readiness: what a service depends on and how it stands. Any thread. */
#ifndef RUNTIME_HEALTH_H
#define RUNTIME_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct health_check; /* lives as long as the process */

enum health_weight {
    HEALTH_REQUIRED, /* while it is down the service is not ready */
    HEALTH_DEGRADED, /* while it is down the service is ready, but degraded */
};

/* For so long after its registration a check of either weight that has not been set yet makes the
 * service not ready. */
#define HEALTH_STARTING_MS 5000

/* Registered before threads start; at first down ("starting"). */
struct health_check *health_check(const char *dependency, enum health_weight weight);

/* `reason` (copied, cut to fit; NULL when up) says what is wrong. Returns whether the state
 * changed, so that the caller can log it once. The first state is a change, also when it is down.
 */
bool health_set(struct health_check *check, bool up, const char *reason);
bool health_up(const struct health_check *check);
bool health_ready(void);

#define HEALTH_REASON_SIZE 256

/* How a check stands. */
struct health_state {
    const char *dependency; /* lives as long as the process */
    enum health_weight weight;
    bool up;
    int64_t since_us;                /* when it came to stand so (timestamp.h) */
    char reason[HEALTH_REASON_SIZE]; /* any bytes; "" when up */
};

/* The checks in the order of their registration. Returns whether there is one of this index. */
bool health_look(size_t index, struct health_state *ret);

/* Not ready, for good: the service is stopping. */
void health_set_stopping(void);

enum health_detail {
    HEALTH_STATES, /* for the public: no reason, which may name an address or quote a server */
    HEALTH_REASONS,
};

/* The report of /readyz, {"status":"ready"|"degraded"|"not ready"|"stopping",
 * "dependencies":[{"name","status":"up"|"down"}]}; with HEALTH_REASONS each also has "required",
 * and "reason" while it is down. malloc'd, free() it. */
char *health_render(enum health_detail detail, size_t *ret_len);

#endif
