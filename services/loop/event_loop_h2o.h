/* An event_loop inside libh2o's evloop, for the threads that serve HTTP. */
#ifndef LOOP_EVENT_LOOP_H2O_H
#define LOOP_EVENT_LOOP_H2O_H

#include "services/loop/event_loop.h"
#include <h2o.h>

/* A new loop that turns whenever `evloop` runs and there is something to do. `evloop` stays the
 * caller's and outlives the loop. Free the loop after all its watches and timers. */
struct event_loop *event_loop_h2o_new(h2o_loop_t *evloop);
void event_loop_h2o_free(struct event_loop *loop);

#endif
