/* Every case runs on a loop of its own and on one that libh2o's evloop drives. ZeroMQ sockets are
 * watched by the former alone. */
#include "services/base/clock.h"
#include "services/loop/event_loop.h"
#include "services/loop/event_loop_h2o.h"
#include "tests/unit/support/real_time.h"
#include <czmq.h>
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

#define WATCHES_MAX 200

/* One kind of loop: make it, run it until *stop or for `for_ms`, free it. */
struct host {
    const char *name;
    struct event_loop *(*new)(void);
    void (*run)(struct event_loop *loop, const bool *stop, int64_t for_ms);
    void (*free)(struct event_loop *loop);
};

static void bare_run(struct event_loop *loop, const bool *stop, int64_t for_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + for_ms;
    while (!*stop && clock_monotonic_ms() < deadline_ms)
        event_loop_turn(loop, 10);
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

static const struct host hosts[] = {
    {"alone", event_loop_new, bare_run, event_loop_free},
    {"h2o", h2o_new, h2o_run, h2o_free},
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

static void on_expired_stop_loop(void *arg)
{
    event_loop_stop(arg);
}

static void test_stop(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct loop_timer *timer = event_loop_timer(loop, on_expired_stop_loop, loop);
    for (int i = 0; i < 2; i++) { /* it can be run again */
        loop_timer_start(timer, 1);
        event_loop_run(loop);
    }
    event_loop_stop(loop); /* before the run */
    event_loop_run(loop);
    loop_timer_free(timer);
    event_loop_free(loop);
}

/* ZeroMQ: a PUSH and a PULL of each other, one frame in flight at most on either side. */

struct zmq_scene {
    struct event_loop *loop;
    zsock_t *push, *pull;
    struct loop_watch *watch;
    int calls, reads_per_call, received;
    bool frees;
};

static void zmq_scene_start(struct zmq_scene *scene)
{
    *scene = (struct zmq_scene){.loop = event_loop_new(), .reads_per_call = 1};
    scene->push = zsock_new(ZMQ_PUSH);
    scene->pull = zsock_new(ZMQ_PULL);
    zsock_set_sndhwm(scene->push, 1);
    zsock_set_rcvhwm(scene->pull, 1);
    static unsigned scenes; /* a name is free again only some time after its socket was destroyed */
    scenes++;
    assert_int_equal(zsock_bind(scene->pull, "inproc://event-loop-%u", scenes), 0);
    assert_int_equal(zsock_connect(scene->push, "inproc://event-loop-%u", scenes), 0);
}

static void zmq_scene_end(struct zmq_scene *scene)
{
    loop_watch_free(scene->watch);
    zsock_destroy(&scene->push);
    zsock_destroy(&scene->pull);
    event_loop_free(scene->loop);
}

static bool push(struct zmq_scene *scene)
{
    return zmq_send(zsock_resolve(scene->push), "x", 1, ZMQ_DONTWAIT) == 1;
}

static bool pull(struct zmq_scene *scene)
{
    char byte;
    return zmq_recv(zsock_resolve(scene->pull), &byte, 1, ZMQ_DONTWAIT) == 1;
}

static void turn_until(struct zmq_scene *scene, const int *count, int wanted)
{
    wait_until(*count >= wanted, event_loop_turn(scene->loop, PATIENCE_MS));
    assert_int_equal(*count, wanted);
}

static void turn_idle(struct zmq_scene *scene)
{
    int before = scene->calls;
    for (int i = 0; i < 5; i++)
        event_loop_turn(scene->loop, 5);
    assert_int_equal(scene->calls, before);
}

static void on_zmq_readable(void *arg, bool readable, bool writable)
{
    struct zmq_scene *scene = arg;
    assert_true(readable && !writable);
    scene->calls++;
    for (int i = 0; i < scene->reads_per_call && pull(scene); i++)
        scene->received++;
    if (scene->frees) {
        loop_watch_free(scene->watch);
        scene->watch = NULL;
    }
}

/* Level-triggered: what a callback leaves unread comes in the next turn, though ZMQ_FD says nothing
 * more. */
static void test_zmq_readable(void **state)
{
    (void)state;
    struct zmq_scene scene;
    zmq_scene_start(&scene);
    scene.watch = event_loop_watch_zmq(scene.loop, scene.pull, on_zmq_readable, &scene);
    assert_true(push(&scene) && push(&scene));
    turn_idle(&scene); /* nothing is wanted yet */
    loop_watch_want(scene.watch, true, false);
    turn_until(&scene, &scene.received, 2);
    assert_int_equal(scene.calls, 2);
    turn_idle(&scene);

    scene.reads_per_call = 0;
    assert_true(push(&scene));
    turn_until(&scene, &scene.calls, 5); /* again and again */
    loop_watch_want(scene.watch, false, false);
    turn_idle(&scene);
    zmq_scene_end(&scene);
}

static void on_zmq_writable(void *arg, bool readable, bool writable)
{
    struct zmq_scene *scene = arg;
    assert_true(!readable && writable);
    scene->calls++;
    loop_watch_want(scene->watch, false, false);
}

static void test_zmq_writable(void **state)
{
    (void)state;
    struct zmq_scene scene;
    zmq_scene_start(&scene);
    scene.watch = event_loop_watch_zmq(scene.loop, scene.push, on_zmq_writable, &scene);
    while (push(&scene))
        continue;
    loop_watch_want(scene.watch, false, true);
    turn_idle(&scene);
    while (pull(&scene))
        continue;
    turn_until(&scene, &scene.calls, 1);
    zmq_scene_end(&scene);
}

static void test_zmq_watch_freed_in_its_callback(void **state)
{
    (void)state;
    struct zmq_scene scene;
    zmq_scene_start(&scene);
    scene.watch = event_loop_watch_zmq(scene.loop, scene.pull, on_zmq_readable, &scene);
    scene.frees = true;
    loop_watch_want(scene.watch, true, false);
    assert_true(push(&scene) && push(&scene));
    turn_until(&scene, &scene.received, 1);
    turn_idle(&scene);
    zmq_scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"alone", test_cases, NULL, NULL, (void *)&hosts[0]},
        {"h2o", test_cases, NULL, NULL, (void *)&hosts[1]},
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_zmq_readable),
        cmocka_unit_test(test_zmq_writable),
        cmocka_unit_test(test_zmq_watch_freed_in_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
