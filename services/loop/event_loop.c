/* The event loop: an epoll set with one timerfd in it. An epoll set can itself be polled, so
 * libh2o's evloop or czmq's zloop only watches this one descriptor and calls event_loop_turn() when
 * it is readable. So watches and timers are written once, independent of the limits of both (h2o:
 * a write notification is one-shot and cannot be cancelled, timers are on the wall clock; zloop: a
 * changed interest rebuilds the poll set, cancelled timers can still fire).
 *
 * Freeing inside callbacks: a turn holds up to EVENTS_PER_TURN events that name watches, so a watch
 * freed during a turn is only marked, and its memory goes when the turn ends. Timers are a binary
 * heap by (due, sequence); a turn fires those that were started before it and are due. A timer
 * started during the turn is due at that moment or later, so it sorts after all of those. */
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/loop/event_loop_core.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64
#define TIMER_DELAY_MAX_MS (INT64_C(365) * 24 * 3600 * 1000)
#define NOT_RUNNING SIZE_MAX

struct loop_watch {
    struct event_loop *loop;
    int fd;
    uint32_t interest; /* EPOLLIN, EPOLLOUT; 0: not in the epoll set, where hang-ups would show */
    loop_ready_fn *on_ready;
    void *arg;
    struct loop_watch *next_freed;
};

struct loop_timer {
    struct event_loop *loop;
    size_t place; /* in the heap, or NOT_RUNNING */
    int64_t due_us;
    uint64_t sequence;
    loop_expired_fn *on_expired;
    void *arg;
};

/* Only for what cannot fail unless the system is out of memory or descriptors. */
static void die(const char *what)
{
    fprintf(stderr, "event loop: %s: %s\n", what, strerror(errno));
    abort();
}

/* Watches */

struct loop_watch *event_loop_watch(struct event_loop *loop, int fd, loop_ready_fn *on_ready,
                                    void *arg)
{
    struct loop_watch *watch = memory_new(sizeof(*watch));
    watch->loop = loop;
    watch->fd = fd;
    watch->on_ready = on_ready;
    watch->arg = arg;
    return watch;
}

void loop_watch_want(struct loop_watch *watch, bool readable, bool writable)
{
    uint32_t interest = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    if (interest == watch->interest)
        return;
    int operation = interest == 0          ? EPOLL_CTL_DEL
                    : watch->interest == 0 ? EPOLL_CTL_ADD
                                           : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = interest, .data.ptr = watch};
    /* A removal fails only when the descriptor was closed first, which removed it too. */
    if (epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event) != 0 &&
        operation != EPOLL_CTL_DEL)
        die("epoll_ctl");
    watch->interest = interest;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (watch == NULL)
        return;
    loop_watch_want(watch, false, false);
    if (watch->loop->turning) {
        watch->next_freed = watch->loop->freed;
        watch->loop->freed = watch;
    } else {
        free(watch);
    }
}

static void watch_dispatch(struct loop_watch *watch, uint32_t events)
{
    bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
    bool readable = (watch->interest & EPOLLIN) != 0 && (broken || (events & EPOLLIN) != 0);
    bool writable = (watch->interest & EPOLLOUT) != 0 && (broken || (events & EPOLLOUT) != 0);
    if (readable || writable) /* else: no longer wanted, or freed, during this turn */
        watch->on_ready(watch->arg, readable, writable);
}

/* Timers */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->sequence < b->sequence;
}

static void heap_put(struct event_loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

/* Find the place for `timer`, starting at a free `place`. */
static void heap_settle(struct event_loop *loop, size_t place, struct loop_timer *timer)
{
    while (place > 0 && timer_before(timer, loop->heap[(place - 1) / 2])) {
        heap_put(loop, place, loop->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < loop->timer_count && timer_before(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (child >= loop->timer_count || !timer_before(loop->heap[child], timer))
            break;
        heap_put(loop, place, loop->heap[child]);
        place = child;
    }
    heap_put(loop, place, timer);
}

static void heap_add(struct event_loop *loop, struct loop_timer *timer)
{
    if (loop->timer_count == loop->timer_capacity) {
        loop->timer_capacity = loop->timer_capacity > 0 ? 2 * loop->timer_capacity : 16;
        loop->heap = memory_resize(loop->heap, loop->timer_capacity * sizeof(*loop->heap));
    }
    heap_settle(loop, loop->timer_count++, timer);
}

static void heap_remove(struct event_loop *loop, struct loop_timer *timer)
{
    struct loop_timer *last = loop->heap[--loop->timer_count];
    if (last != timer)
        heap_settle(loop, timer->place, last);
    timer->place = NOT_RUNNING;
}

/* Make timer_fd fire no later than the earliest timer. It may fire earlier: a timer that was
 * stopped or put off costs one idle turn, not a system call each time. */
static void timers_arm(struct event_loop *loop)
{
    int64_t due_us = loop->timer_count > 0 ? loop->heap[0]->due_us : INT64_MAX;
    if (loop->turning || due_us >= loop->armed_us)
        return;
    /* Relative: libfaketime, with which clock changes are tested, shifts absolute times even of a
     * monotonic timer. 0 would disarm. */
    int64_t left_us = due_us - clock_monotonic_us();
    if (left_us < 1)
        left_us = 1;
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(left_us / 1000000),
                                           .tv_nsec = (long)(left_us % 1000000) * 1000}};
    if (timerfd_settime(loop->timer_fd, 0, &spec, NULL) != 0)
        die("timerfd_settime");
    loop->armed_us = due_us;
}

struct loop_timer *event_loop_timer(struct event_loop *loop, loop_expired_fn *on_expired, void *arg)
{
    struct loop_timer *timer = memory_new(sizeof(*timer));
    timer->loop = loop;
    timer->place = NOT_RUNNING;
    timer->on_expired = on_expired;
    timer->arg = arg;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms)
{
    loop_timer_stop(timer);
    if (delay_ms < 0)
        delay_ms = 0;
    if (delay_ms > TIMER_DELAY_MAX_MS)
        delay_ms = TIMER_DELAY_MAX_MS;
    timer->due_us = clock_monotonic_us() + delay_ms * 1000;
    timer->sequence = timer->loop->timer_sequence++;
    heap_add(timer->loop, timer);
    timers_arm(timer->loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (loop_timer_running(timer))
        heap_remove(timer->loop, timer);
}

bool loop_timer_running(const struct loop_timer *timer)
{
    return timer->place != NOT_RUNNING;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    loop_timer_stop(timer);
    free(timer);
}

static void timers_fire(struct event_loop *loop)
{
    uint64_t expirations;
    (void)!read(loop->timer_fd, &expirations, sizeof(expirations)); /* EAGAIN: nothing to clear */
    loop->armed_us = INT64_MAX;

    int64_t now_us = clock_monotonic_us();
    uint64_t started_before = loop->timer_sequence;
    while (loop->timer_count > 0) {
        struct loop_timer *timer = loop->heap[0];
        if (timer->due_us > now_us || timer->sequence >= started_before)
            break;
        heap_remove(loop, timer);
        timer->on_expired(timer->arg); /* may free it */
    }
}

/* The loop */

void event_loop_init(struct event_loop *loop)
{
    *loop = (struct event_loop){.armed_us = INT64_MAX};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        die("epoll_create1");
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        die("timerfd_create");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) != 0)
        die("epoll_ctl");
}

void event_loop_release(struct event_loop *loop)
{
    assert(!loop->turning && loop->timer_count == 0);
    free(loop->heap);
    (void)close(loop->timer_fd);
    (void)close(loop->epoll_fd);
}

void event_loop_turn(struct event_loop *loop, int wait_ms)
{
    assert(!loop->turning); /* a callback runs no loop */
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, wait_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");

    bool expired = false;
    loop->turning = true;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            expired = true;
        else
            watch_dispatch(events[i].data.ptr, events[i].events);
    }
    if (expired) /* after the watches: an answer that came in time beats its deadline */
        timers_fire(loop);
    loop->turning = false;
    timers_arm(loop);

    while (loop->freed != NULL) {
        struct loop_watch *watch = loop->freed;
        loop->freed = watch->next_freed;
        free(watch);
    }
}
