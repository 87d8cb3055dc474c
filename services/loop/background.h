/* A blocking call off the loop: it runs on a thread of its own, and the loop hears of its end. What
 * blocks without a bound (name services, libraries that connect) goes through here. */
#ifndef LOOP_BACKGROUND_H
#define LOOP_BACKGROUND_H

#include "proto/error.h"
#include "services/loop/event_loop.h"

struct background;

struct background_call {
    void *work;                                              /* arguments and result of the call */
    void (*run)(void *work);                                 /* the call, on the thread */
    void (*release)(void *work);                             /* frees `work`; on either thread */
    void (*on_done)(void *arg, const struct error *failure); /* from the loop */
    void *arg;
};

/* Start the call. `work` belongs to it from now on, and to its thread until on_done() comes. That
 * comes exactly once, from the loop; then `work` holds the result, or, with `failure` set, there
 * was no thread or descriptor and run() was never called. There is no deadline: the caller has one,
 * and frees the call when it passes. Never blocks. */
struct background *background_new(struct event_loop *loop, const struct background_call *call);

/* Legal at any time, inside on_done() too; afterwards on_done() does not come. Never waits: a call
 * that still runs keeps `work`, which is released when both sides are done with it. NULL is
 * legal. */
void background_free(struct background *background);

#endif
