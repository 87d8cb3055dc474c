/* event_loop on libh2o's evloop. Timers use a timerfd on CLOCK_MONOTONIC (the evloop's own use the
 * wall clock). */
#ifndef LOOP_EVENT_LOOP_H2O_H
#define LOOP_EVENT_LOOP_H2O_H

#include "services/loop/event_loop.h"
#include <h2o.h>

/* `evloop` stays the caller's and must outlive the result, which event_loop_h2o_free() frees after
 * all of its watches and timers. */
struct event_loop *event_loop_h2o_new(h2o_loop_t *evloop);
void event_loop_h2o_free(struct event_loop *loop);

#endif
