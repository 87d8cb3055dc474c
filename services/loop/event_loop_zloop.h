/* event_loop on czmq's zloop. */
#ifndef LOOP_EVENT_LOOP_ZLOOP_H
#define LOOP_EVENT_LOOP_ZLOOP_H

#include "services/loop/event_loop.h"
#include <czmq.h>

/* `zloop` stays the caller's and must outlive the result, which event_loop_zloop_free() frees after
 * all of its watches and timers. */
struct event_loop *event_loop_zloop_new(zloop_t *zloop);
void event_loop_zloop_free(struct event_loop *loop);

/* Make zloop_start() return -1 in its next turn. Callable from callbacks of either loop. */
void event_loop_zloop_stop(struct event_loop *loop);

#endif
