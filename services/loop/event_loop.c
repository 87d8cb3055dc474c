/* The event loop: an epoll set with one timerfd in it. An epoll set can itself be polled, so
 * libh2o's evloop can drive a loop by watching its descriptor (event_loop_h2o.c); every other
 * thread runs event_loop_run().
 *
 * A ZeroMQ socket has a descriptor (ZMQ_FD) that only tells when to ask for ZMQ_EVENTS, and asking
 * clears it (zmq_getsockopt(3)). So a turn asks each watched socket twice: before it waits, because
 * what it already has to say wakes nobody, and after.
 *
 * Freeing inside callbacks: a turn holds up to EVENTS_PER_TURN events that name watches, so a watch
 * freed during a turn is only marked, and its memory goes when the turn ends. Timers are a binary
 * heap by (due, sequence); a turn fires those that were started before it and are due. A timer
 * started during the turn is due at that moment or later, so it sorts after all of those. */
#include "services/loop/event_loop.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64
#define TIMER_DELAY_MAX_MS (INT64_C(365) * 24 * 3600 * 1000)
#define NOT_RUNNING SIZE_MAX

struct loop_watch {
    struct event_loop *loop;
    int fd;
    void *zmq_socket; /* or NULL; `fd` is its ZMQ_FD then */
    LIST_ENTRY(loop_watch) zmq_link;
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

struct event_loop {
    int epoll_fd; /* readable whenever a watch may be ready or a timer has expired */
    int timer_fd; /* a member of epoll_fd */
    void *driver;
    bool turning, stopped;
    LIST_HEAD(, loop_watch) zmq_watches;
    struct loop_watch *freed; /* during a turn: events in hand may still name them */
    struct loop_timer **heap; /* running timers, the earliest first */
    size_t timer_count, timer_capacity;
    uint64_t timer_sequence; /* of the next start() */
    int64_t armed_us;        /* when timer_fd becomes readable; INT64_MAX: never */
};

/* Only for what cannot fail unless the system is out of memory or descriptors. */
static void die(const char *what)
{
    log_error("the event loop fails", log_text("call", what), log_text("error", strerror(errno)));
    log_flush();
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

struct loop_watch *event_loop_watch_zmq(struct event_loop *loop, void *socket,
                                        loop_ready_fn *on_ready, void *arg)
{
    void *zmq_socket = zsock_resolve(socket);
    int fd;
    size_t size = sizeof fd;
    if (zmq_getsockopt(zmq_socket, ZMQ_FD, &fd, &size) != 0)
        die("ZMQ_FD");
    struct loop_watch *watch = event_loop_watch(loop, fd, on_ready, arg);
    watch->zmq_socket = zmq_socket;
    LIST_INSERT_HEAD(&loop->zmq_watches, watch, zmq_link);
    return watch;
}

/* What a ZeroMQ socket is ready for, of what is wanted. */
static uint32_t zmq_ready(const struct loop_watch *watch)
{
    int events = 0;
    size_t size = sizeof events;
    if (watch->interest == 0 ||
        zmq_getsockopt(watch->zmq_socket, ZMQ_EVENTS, &events, &size) != 0) /* EINTR, or ETERM */
        return 0;
    return watch->interest & ((events & ZMQ_POLLIN ? (uint32_t)EPOLLIN : 0) |
                              (events & ZMQ_POLLOUT ? (uint32_t)EPOLLOUT : 0));
}

static bool any_zmq_ready(const struct event_loop *loop)
{
    const struct loop_watch *watch;
    LIST_FOREACH(watch, &loop->zmq_watches, zmq_link)
    if (zmq_ready(watch) != 0)
        return true;
    return false;
}

void loop_watch_want(struct loop_watch *watch, bool readable, bool writable)
{
    uint32_t interest = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    if (interest == watch->interest)
        return;
    int operation = interest == 0          ? EPOLL_CTL_DEL
                    : watch->interest == 0 ? EPOLL_CTL_ADD
                                           : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = watch->zmq_socket != NULL ? (uint32_t)EPOLLIN : interest,
                                .data.ptr = watch};
    /* A removal fails only when the descriptor was closed first, which removed it too. */
    if (epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event) != 0 &&
        operation != EPOLL_CTL_DEL)
        die("epoll_ctl");
    watch->interest = interest;
}

/* Free the memory of the watches that were freed. */
static void bury(struct event_loop *loop)
{
    while (loop->freed != NULL) {
        struct loop_watch *watch = loop->freed;
        loop->freed = watch->next_freed;
        if (watch->zmq_socket != NULL)
            LIST_REMOVE(watch, zmq_link);
        free(watch);
    }
}

void loop_watch_free(struct loop_watch *watch)
{
    if (watch == NULL)
        return;
    loop_watch_want(watch, false, false);
    watch->next_freed = watch->loop->freed;
    watch->loop->freed = watch;
    if (!watch->loop->turning)
        bury(watch->loop);
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

struct event_loop *event_loop_new(void)
{
    struct event_loop *loop = memory_new(sizeof(*loop));
    loop->armed_us = INT64_MAX;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        die("epoll_create1");
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        die("timerfd_create");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) != 0)
        die("epoll_ctl");
    return loop;
}

bool event_loop_idle(const struct event_loop *loop)
{
    return !loop->turning && loop->timer_count == 0;
}

void event_loop_free(struct event_loop *loop)
{
    if (loop == NULL)
        return;
    assert(event_loop_idle(loop) && LIST_EMPTY(&loop->zmq_watches));
    free(loop->heap);
    (void)close(loop->timer_fd);
    (void)close(loop->epoll_fd);
    free(loop);
}

int event_loop_fd(const struct event_loop *loop)
{
    return loop->epoll_fd;
}

void **event_loop_driver(struct event_loop *loop)
{
    return &loop->driver;
}

void event_loop_turn(struct event_loop *loop, int wait_ms)
{
    assert(!loop->turning); /* a callback runs no loop */
    struct epoll_event events[EVENTS_PER_TURN];
    if (any_zmq_ready(loop))
        wait_ms = 0;
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, wait_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");

    bool expired = false;
    loop->turning = true;
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = events[i].data.ptr;
        if (watch == NULL)
            expired = true;
        else if (watch->zmq_socket == NULL)
            watch_dispatch(watch, events[i].events);
    }
    struct loop_watch *watch;
    LIST_FOREACH(watch, &loop->zmq_watches, zmq_link)
    watch_dispatch(watch, zmq_ready(watch));
    if (expired) /* after the watches: an answer that came in time beats its deadline */
        timers_fire(loop);
    loop->turning = false;
    timers_arm(loop);
    bury(loop);
}

void event_loop_run(struct event_loop *loop)
{
    while (!loop->stopped)
        event_loop_turn(loop, -1);
    loop->stopped = false;
}

void event_loop_stop(struct event_loop *loop)
{
    loop->stopped = true;
}
