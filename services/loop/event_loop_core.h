/* The event loop itself, for those who drive one: the two embeddings (event_loop_h2o.h,
 * event_loop_zloop.h), and code that needs a loop for a moment, such as a --check probe. */
#ifndef LOOP_EVENT_LOOP_CORE_H
#define LOOP_EVENT_LOOP_CORE_H

#include "services/loop/event_loop.h"
#include <stddef.h>

struct event_loop {
    int epoll_fd; /* readable whenever a watch is ready or a timer has expired */
    int timer_fd; /* a member of epoll_fd */
    bool turning;
    struct loop_watch *freed; /* during a turn: events in hand may still name them */
    struct loop_timer **heap; /* running timers, the earliest first */
    size_t timer_count, timer_capacity;
    uint64_t timer_sequence; /* of the next start() */
    int64_t armed_us;        /* when timer_fd becomes readable; INT64_MAX: never */
};

/* Aborts when the process is out of descriptors. */
void event_loop_init(struct event_loop *loop);
/* After all watches and timers. */
void event_loop_release(struct event_loop *loop);

/* Wait for events at most `wait_ms` (0: do not wait) and run their callbacks, each at most once. */
void event_loop_turn(struct event_loop *loop, int wait_ms);

#endif
