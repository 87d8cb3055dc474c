/* Running an event loop in a test. */
#ifndef TESTS_RUN_LOOP_H
#define TESTS_RUN_LOOP_H

#include "services/loop/event_loop.h"
#include "tests/unit/support/real_time.h"

/* Turn the loop until `condition` holds; the test fails when that takes longer than PATIENCE_MS. */
#define run_loop_until(loop, condition) wait_until(condition, event_loop_turn(loop, 10))

/* Turn the loop for this time, in which nothing is to happen. */
static inline void run_loop_for(struct event_loop *loop, int64_t for_ms)
{
    int64_t end_ms = real_time_ms() + for_ms;
    while (real_time_ms() < end_ms)
        event_loop_turn(loop, 5);
}

#endif
