/* Every case runs on each of the loops: alone, inside libh2o's evloop, inside czmq's zloop. */
#include "services/base/clock.h"
#include "services/loop/event_loop_core.h"
#include "services/loop/event_loop_h2o.h"
#include "services/loop/event_loop_zloop.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 30000 /* only a hang takes so long */
#define WATCHES_MAX 200

/* One kind of loop: make it, run it until *stop or for `for_ms`, free it. */
struct host {
    const char *name;
    struct event_loop *(*new)(void);
    void (*run)(struct event_loop *loop, const bool *stop, int64_t for_ms);
    void (*free)(struct event_loop *loop);
};

static struct event_loop *bare_new(void)
{
    struct event_loop *loop = malloc(sizeof(*loop));
    assert_non_null(loop);
    event_loop_init(loop);
    return loop;
}

static void bare_run(struct event_loop *loop, const bool *stop, int64_t for_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + for_ms;
    while (!*stop && clock_monotonic_ms() < deadline_ms)
        event_loop_turn(loop, 10);
}

static void bare_free(struct event_loop *loop)
{
    event_loop_release(loop);
    free(loop);
}

static h2o_loop_t *evloop;

static struct event_loop *h2o_new(void)
{
    evloop = h2o_evloop_create();
    return event_loop_h2o_new(evloop);
}

static void h2o_run(struct event_loop *loop, const bool *stop, int64_t for_ms)
{
    (void)loop;
    int64_t deadline_ms = clock_monotonic_ms() + for_ms;
    while (!*stop && clock_monotonic_ms() < deadline_ms)
        if (h2o_evloop_run(evloop, 10) != 0)
            assert_int_equal(errno, EINTR); /* the process was stopped and goes on */
}

static void h2o_free(struct event_loop *loop)
{
    event_loop_h2o_free(loop);
    h2o_evloop_destroy(evloop);
}

static zloop_t *zloop;

static struct event_loop *zloop_host_new(void)
{
    zloop = zloop_new();
    zloop_set_nonstop(zloop, true);
    return event_loop_zloop_new(zloop);
}

struct zloop_run {
    const bool *stop;
    int64_t deadline_ms;
};

static int zloop_tick(zloop_t *self, int timer_id, void *arg)
{
    (void)self;
    (void)timer_id;
    const struct zloop_run *run = arg;
    return *run->stop || clock_monotonic_ms() >= run->deadline_ms ? -1 : 0;
}

static void zloop_host_run(struct event_loop *loop, const bool *stop, int64_t for_ms)
{
    (void)loop;
    struct zloop_run run = {stop, clock_monotonic_ms() + for_ms};
    int timer = zloop_timer(zloop, 5, 0, zloop_tick, &run);
    assert_int_equal(zloop_start(zloop), -1);
    zloop_timer_end(zloop, timer);
}

static void zloop_host_free(struct event_loop *loop)
{
    event_loop_zloop_free(loop);
    zloop_destroy(&zloop);
}

static const struct host hosts[] = {
    {"alone", bare_new, bare_run, bare_free},
    {"h2o", h2o_new, h2o_run, h2o_free},
    {"zloop", zloop_host_new, zloop_host_run, zloop_host_free},
};

/* What a case works with. */
struct scene {
    const struct host *host;
    struct event_loop *loop;
    bool done;
    int fds[2]; /* a connected pair */
    struct loop_watch *watch, *other;
    struct loop_timer *timer, *other_timer;
    int calls, other_calls;
    bool readable, writable;
    int64_t fired_ms;
};

static void run(struct scene *scene)
{
    scene->done = false;
    scene->host->run(scene->loop, &scene->done, PATIENCE_MS);
    assert_true(scene->done);
}

/* Long enough for anything ready to show. */
static void run_idle(struct scene *scene)
{
    scene->done = false;
    scene->host->run(scene->loop, &scene->done, 30);
}

static void on_ready_stop(void *arg, bool readable, bool writable)
{
    struct scene *scene = arg;
    scene->calls++;
    scene->readable = readable;
    scene->writable = writable;
    scene->done = true;
}

static void case_readable(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_stop, scene);
    assert_int_equal(write(scene->fds[1], "x", 1), 1);
    run_idle(scene);
    assert_int_equal(scene->calls, 0); /* nothing is wanted yet */
    loop_watch_want(scene->watch, true, false);
    run(scene);
    assert_true(scene->readable && !scene->writable);
    run(scene); /* level-triggered: not read, so it comes again */
    loop_watch_want(scene->watch, false, false);
    scene->calls = 0;
    run_idle(scene);
    assert_int_equal(scene->calls, 0);
    loop_watch_free(scene->watch);
}

static void case_writable(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_stop, scene);
    loop_watch_want(scene->watch, true, true);
    run(scene);
    assert_true(scene->writable && !scene->readable);
    assert_int_equal(write(scene->fds[1], "x", 1), 1);
    run(scene);
    assert_true(scene->writable && scene->readable);
    loop_watch_want(scene->watch, true, false); /* no more writable, from now on */
    run(scene);
    assert_true(!scene->writable && scene->readable);
    loop_watch_free(scene->watch);
}

static void case_writable_cancelled(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_stop, scene);
    loop_watch_want(scene->watch, false, true);
    loop_watch_want(scene->watch, false, false);
    run_idle(scene);
    assert_int_equal(scene->calls, 0);
    loop_watch_free(scene->watch);
}

static void case_hang_up(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_stop, scene);
    loop_watch_want(scene->watch, true, false);
    close(scene->fds[1]);
    scene->fds[1] = -1;
    run(scene);
    assert_true(scene->readable && !scene->writable);
    loop_watch_want(scene->watch, false, false); /* a hang-up must not spin then */
    scene->calls = 0;
    run_idle(scene);
    assert_int_equal(scene->calls, 0);
    loop_watch_free(scene->watch);
}

static void on_ready_free_both(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct scene *scene = arg;
    scene->calls++;
    loop_watch_free(scene->watch);
    loop_watch_free(scene->other);
    scene->watch = scene->other = NULL;
    scene->done = true;
}

/* Both are ready in one turn; whichever comes first frees both. */
static void case_free_in_callback(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_free_both, scene);
    scene->other = event_loop_watch(scene->loop, scene->fds[1], on_ready_free_both, scene);
    loop_watch_want(scene->watch, false, true);
    loop_watch_want(scene->other, false, true);
    run(scene);
    run_idle(scene);
    assert_int_equal(scene->calls, 1);
}

static void on_ready_replace(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct scene *scene = arg;
    scene->calls++;
    loop_watch_free(scene->watch);
    scene->watch = NULL;
    close(scene->fds[0]);
    /* The same number again, of a socket with nothing to read: the old watch's events must not
     * reach the new one. */
    int fresh[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fresh), 0);
    assert_int_equal(fresh[0], scene->fds[0]);
    close(scene->fds[1]);
    scene->fds[1] = fresh[1];
    scene->other = event_loop_watch(scene->loop, scene->fds[0], on_ready_stop, scene);
    loop_watch_want(scene->other, true, false);
    scene->done = true;
}

static void case_descriptor_reused(struct scene *scene)
{
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_replace, scene);
    loop_watch_want(scene->watch, true, false);
    assert_int_equal(write(scene->fds[1], "x", 1), 1);
    run(scene);
    run_idle(scene);
    assert_int_equal(scene->calls, 1);
    assert_int_equal(write(scene->fds[1], "y", 1), 1);
    run(scene);
    assert_true(scene->calls > 1);
    loop_watch_free(scene->other);
}

struct crowd {
    struct scene *scene;
    int seen;
};

static void on_ready_crowd(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct crowd *one = arg;
    if (one->seen++ == 0 && ++one->scene->calls == WATCHES_MAX)
        one->scene->done = true;
}

/* More ready at once than one turn takes, all of them always ready: none starves. */
static void case_many(struct scene *scene)
{
    static int fds[WATCHES_MAX];
    static struct loop_watch *watches[WATCHES_MAX];
    static struct crowd crowd[WATCHES_MAX];
    for (int i = 0; i < WATCHES_MAX; i++) {
        crowd[i] = (struct crowd){scene, 0};
        fds[i] = dup(scene->fds[0]);
        assert_true(fds[i] >= 0);
        watches[i] = event_loop_watch(scene->loop, fds[i], on_ready_crowd, &crowd[i]);
        loop_watch_want(watches[i], false, true);
    }
    run(scene);
    for (int i = 0; i < WATCHES_MAX; i++) {
        loop_watch_free(watches[i]);
        close(fds[i]);
    }
}

static void on_expired_stop(void *arg)
{
    struct scene *scene = arg;
    scene->calls++;
    scene->fired_ms = clock_monotonic_ms();
    scene->done = true;
}

static void case_timer(struct scene *scene)
{
    scene->timer = event_loop_timer(scene->loop, on_expired_stop, scene);
    assert_false(loop_timer_running(scene->timer));
    int64_t start_ms = clock_monotonic_ms();
    loop_timer_start(scene->timer, 40);
    assert_true(loop_timer_running(scene->timer));
    run(scene);
    assert_true(scene->fired_ms - start_ms >= 39);
    assert_false(loop_timer_running(scene->timer));
    run_idle(scene);
    assert_int_equal(scene->calls, 1); /* one-shot */
    loop_timer_start(scene->timer, 0);
    run(scene);
    loop_timer_start(scene->timer, -5);
    run(scene);
    assert_int_equal(scene->calls, 3);
    loop_timer_free(scene->timer);
}

static void case_timer_restarted_and_stopped(struct scene *scene)
{
    scene->timer = event_loop_timer(scene->loop, on_expired_stop, scene);
    int64_t start_ms = clock_monotonic_ms();
    loop_timer_start(scene->timer, 5);
    loop_timer_start(scene->timer, 60); /* put off */
    run(scene);
    assert_int_equal(scene->calls, 1);
    assert_true(scene->fired_ms - start_ms >= 59);
    loop_timer_start(scene->timer, INT64_MAX);
    loop_timer_start(scene->timer, 5); /* brought forward */
    run(scene);
    assert_int_equal(scene->calls, 2);
    loop_timer_start(scene->timer, 5);
    loop_timer_stop(scene->timer);
    loop_timer_stop(scene->timer);
    run_idle(scene);
    assert_int_equal(scene->calls, 2);
    loop_timer_start(scene->timer, 5);
    loop_timer_free(scene->timer); /* running */
    run_idle(scene);
    assert_int_equal(scene->calls, 2);
}

static void on_expired_free_both(void *arg)
{
    struct scene *scene = arg;
    scene->calls++;
    loop_timer_free(scene->timer);
    loop_timer_free(scene->other_timer);
    scene->timer = scene->other_timer = NULL;
    scene->done = true;
}

static void case_timer_free_in_callback(struct scene *scene)
{
    scene->timer = event_loop_timer(scene->loop, on_expired_free_both, scene);
    scene->other_timer = event_loop_timer(scene->loop, on_expired_free_both, scene);
    loop_timer_start(scene->timer, 1);
    loop_timer_start(scene->other_timer, 1);
    run(scene);
    run_idle(scene);
    assert_int_equal(scene->calls, 1);
}

static void on_expired_again(void *arg)
{
    struct scene *scene = arg;
    if (++scene->calls < 100)
        loop_timer_start(scene->timer, 0);
    else
        scene->done = true;
}

/* A timer that starts itself with 0 fires once a turn and lets descriptors have their share. */
static void on_ready_count(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct scene *scene = arg;
    scene->other_calls++;
}

static void case_timer_zero_is_next_turn(struct scene *scene)
{
    scene->timer = event_loop_timer(scene->loop, on_expired_again, scene);
    scene->watch = event_loop_watch(scene->loop, scene->fds[0], on_ready_count, scene);
    loop_watch_want(scene->watch, false, true);
    loop_timer_start(scene->timer, 0);
    run(scene);
    assert_int_equal(scene->calls, 100);
    assert_true(scene->other_calls >= 99);
    loop_watch_free(scene->watch);
    loop_timer_free(scene->timer);
}

#define TIMERS 300
static int fire_order[TIMERS], fire_count;
static struct scene *order_scene;

static void on_expired_ordered(void *arg)
{
    fire_order[fire_count++] = *(int *)arg;
    if (fire_count == TIMERS - TIMERS / 3)
        order_scene->done = true;
}

/* Many timers, a third of them stopped: the others fire in the order of their delays, equal delays
 * in the order of their starts. */
static void case_timer_order(struct scene *scene)
{
    static struct loop_timer *timers[TIMERS];
    static int delays[TIMERS];
    unsigned seed = 1;
    fire_count = 0;
    order_scene = scene;
    for (int i = 0; i < TIMERS; i++) {
        seed = seed * 1103515245 + 12345;
        delays[i] = 20 + 3 * (int)(seed >> 16 & 15);
        timers[i] = event_loop_timer(scene->loop, on_expired_ordered, &delays[i]);
    }
    int64_t begin_us;
    do { /* a pause between two of them would change their order */
        begin_us = clock_monotonic_us();
        for (int i = 0; i < TIMERS; i++)
            loop_timer_start(timers[i], delays[i]);
    } while (clock_monotonic_us() - begin_us >= 3000);
    for (int i = 0; i < TIMERS; i += 3)
        loop_timer_stop(timers[i]);
    run(scene);
    for (int i = 1; i < fire_count; i++)
        assert_true(fire_order[i - 1] <= fire_order[i]);
    for (int i = 0; i < TIMERS; i++)
        loop_timer_free(timers[i]);
}

static const struct {
    const char *name;
    void (*run)(struct scene *scene);
} cases[] = {
    {"readable", case_readable},
    {"writable", case_writable},
    {"writable cancelled", case_writable_cancelled},
    {"hang-up", case_hang_up},
    {"freed in a callback", case_free_in_callback},
    {"descriptor reused", case_descriptor_reused},
    {"many", case_many},
    {"timer", case_timer},
    {"timer restarted and stopped", case_timer_restarted_and_stopped},
    {"timer freed in a callback", case_timer_free_in_callback},
    {"timer of 0 fires in the next turn", case_timer_zero_is_next_turn},
    {"timers in order", case_timer_order},
};

static void test_cases(void **state)
{
    const struct host *host = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene = {.host = host};
        print_message("           %s: %s\n", host->name, cases[i].name);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, scene.fds), 0);
        scene.loop = host->new ();
        cases[i].run(&scene);
        host->free(scene.loop);
        close(scene.fds[0]);
        if (scene.fds[1] >= 0)
            close(scene.fds[1]);
    }
}

static void on_expired_stop_zloop(void *arg)
{
    event_loop_zloop_stop(arg);
}

static void test_zloop_stop(void **state)
{
    (void)state;
    struct event_loop *loop = zloop_host_new();
    struct loop_timer *timer = event_loop_timer(loop, on_expired_stop_zloop, loop);
    for (int i = 0; i < 2; i++) { /* it can be started again */
        loop_timer_start(timer, 1);
        assert_int_equal(zloop_start(zloop), -1);
    }
    loop_timer_free(timer);
    zloop_host_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"alone", test_cases, NULL, NULL, (void *)&hosts[0]},
        {"h2o", test_cases, NULL, NULL, (void *)&hosts[1]},
        {"zloop", test_cases, NULL, NULL, (void *)&hosts[2]},
        cmocka_unit_test(test_zloop_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
