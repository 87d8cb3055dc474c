/* What an asynchronous client needs of a loop: watching descriptors and timers. The gateway runs on
 * libh2o's evloop, the other services on czmq's zloop; PostgreSQL and HTTP clients are written
 * once, against this. One loop belongs to one thread; nothing here may be called from another.
 * Callbacks run inside the loop. */
#ifndef LOOP_EVENT_LOOP_H
#define LOOP_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_loop; /* event_loop_h2o.h and event_loop_zloop.h make one */
struct loop_watch;
struct loop_timer;

typedef void loop_ready_fn(void *arg, bool readable, bool writable);
typedef void loop_expired_fn(void *arg);

/* Watch `fd` (stays the caller's), at first for nothing; at most one watch each. Level-triggered; a
 * hang-up or error shows as whatever is wanted. Free the watch before fd is closed, and make a new
 * one after a library may have replaced its descriptor, be it by one of the same number (each
 * PQconnectPoll() may). */
struct loop_watch *event_loop_watch(struct event_loop *loop, int fd, loop_ready_fn *on_ready,
                                    void *arg);
void loop_watch_want(struct loop_watch *watch, bool readable, bool writable);
void loop_watch_free(struct loop_watch *watch); /* legal inside its own callback; NULL is legal */

/* A one-shot timer on the monotonic clock, at first stopped. start() on a running timer starts it
 * anew; a delay of 0 fires in the next turn of the loop. */
struct loop_timer *event_loop_timer(struct event_loop *loop, loop_expired_fn *on_expired,
                                    void *arg);
void loop_timer_start(struct loop_timer *timer, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_running(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer); /* legal inside its own callback; NULL is legal */

#endif
