/* The event loop of every thread: watching descriptors and ZeroMQ sockets, and timers. A loop
 * belongs to one thread; no function here may be called from another. Callbacks run inside
 * event_loop_turn(). */
#ifndef LOOP_EVENT_LOOP_H
#define LOOP_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_loop;
struct loop_watch;
struct loop_timer;

typedef void loop_ready_fn(void *arg, bool readable, bool writable);
typedef void loop_expired_fn(void *arg);

/* Aborts when the process is out of descriptors. Free a loop after all its watches and timers. */
struct event_loop *event_loop_new(void);
void event_loop_free(struct event_loop *loop);       /* NULL is legal */
bool event_loop_idle(const struct event_loop *loop); /* outside a turn, with no timer running */

/* Run callbacks until event_loop_stop(), which is legal inside a callback and before the run. */
void event_loop_run(struct event_loop *loop);
void event_loop_stop(struct event_loop *loop);

/* Wait for events at most `wait_ms` (0: do not wait, -1: without limit) and run their callbacks,
 * each at most once. A signal ends the wait early. Not legal inside a callback. */
void event_loop_turn(struct event_loop *loop, int wait_ms);

/* For a loop that another one drives (event_loop_h2o.c), which must not watch ZeroMQ sockets: the
 * descriptor that is readable whenever a turn has something to do, and a place for the driver's own
 * pointer, NULL at first. */
int event_loop_fd(const struct event_loop *loop);
void **event_loop_driver(struct event_loop *loop);

/* Watch `fd` (stays the caller's), at first for nothing; at most one watch each. Level-triggered; a
 * hang-up or error shows as the wanted readiness. Free the watch before fd is closed, and make a
 * new one after a library may have replaced its descriptor, be it by one of the same number. */
struct loop_watch *event_loop_watch(struct event_loop *loop, int fd, loop_ready_fn *on_ready,
                                    void *arg);

/* The same for a ZeroMQ socket (a zsock_t or libzmq's own; it stays the caller's). Free the watch
 * before the socket. */
struct loop_watch *event_loop_watch_zmq(struct event_loop *loop, void *socket,
                                        loop_ready_fn *on_ready, void *arg);

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
