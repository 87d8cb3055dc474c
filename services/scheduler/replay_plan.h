/* How fast a mass replay goes, and when it stops. Pure: clocks and fates come in, decisions come
 * out. At no time are more than REPLAY_UNKNOWN_MAX letters replayed whose fate is unknown, and the
 * replay stops when REPLAY_DEATHS_MAX in a row have died again: the bridge takes a stage for
 * misconfigured, and holds healthy orders up, after 20 rejects in a row. */
#ifndef SCHEDULER_REPLAY_PLAN_H
#define SCHEDULER_REPLAY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_UNKNOWN_MAX 10
#define REPLAY_DEATHS_MAX 5
#define REPLAY_PER_SECOND_DEFAULT 50
#define REPLAY_PER_SECOND_MAX 1000

struct replay_plan {
    int64_t interval_us; /* between two letters */
    int64_t next_us;     /* none is replayed before */
    unsigned unknown;    /* replayed, and their fate is unknown */
    unsigned deaths;     /* in a row */
};

/* `per_second` is at least 1; `deaths` in a row before a scheduler went on with the job. */
void replay_plan_init(struct replay_plan *plan, int64_t per_second, unsigned deaths);

/* A letter was replayed before this scheduler went on with the job; or it is replayed now. */
void replay_plan_found(struct replay_plan *plan);
void replay_plan_replayed(struct replay_plan *plan, int64_t now_us);

/* How long, in ms, until the next letter may be replayed; 0: now, -1: not before a fate is known.
 */
int64_t replay_plan_wait_ms(const struct replay_plan *plan, int64_t now_us);

/* The fate of a replayed letter is known. */
void replay_plan_searchable(struct replay_plan *plan);
void replay_plan_died_again(struct replay_plan *plan);

/* Too many in a row have died again; for good. */
bool replay_plan_broken(const struct replay_plan *plan);

#endif
