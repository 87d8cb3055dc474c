/* A call off the loop: its result, its end when nobody waits any more, and the lack of threads and
 * descriptors. */
#include "services/loop/background.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/run_loop.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

struct scene {
    struct event_loop *loop;
    struct background *background;
    atomic_bool may_end; /* the call waits for it */
    atomic_int runs, releases;
    int dones;
    bool frees;
    struct error failure;
};

static void run(void *work)
{
    struct scene *scene = work;
    while (!atomic_load(&scene->may_end))
        sched_yield();
    atomic_fetch_add(&scene->runs, 1);
}

static void release(void *work)
{
    struct scene *scene = work;
    atomic_fetch_add(&scene->releases, 1);
}

static void on_done(void *arg, const struct error *failure)
{
    struct scene *scene = arg;
    scene->dones++;
    assert_int_equal(atomic_load(&scene->releases), 0);
    if (failure != NULL)
        scene->failure = *failure;
    if (scene->frees) {
        background_free(scene->background);
        scene->background = NULL;
    }
}

static void start(struct scene *scene, struct event_loop *loop)
{
    *scene = (struct scene){.loop = loop};
    scene->background = background_new(
        scene->loop,
        &(struct background_call){
            .work = scene, .run = run, .release = release, .on_done = on_done, .arg = scene});
}

static void turn_until_done(struct scene *scene)
{
    run_loop_until(scene->loop, scene->dones > 0);
    event_loop_turn(scene->loop, 0);
    assert_int_equal(scene->dones, 1); /* and not twice */
}

/* The thread may be the last to let go. */
static void wait_for_release(struct scene *scene)
{
    wait_until(atomic_load(&scene->releases) > 0, sched_yield());
    assert_int_equal(scene->releases, 1);
}

static void test_done(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, event_loop_new());
    event_loop_turn(scene.loop, 10); /* not yet */
    assert_int_equal(scene.dones, 0);
    atomic_store(&scene.may_end, true);
    turn_until_done(&scene);
    assert_int_equal(scene.runs, 1);
    assert_int_equal(scene.failure.message[0], '\0');
    background_free(scene.background);
    wait_for_release(&scene);
    event_loop_free(scene.loop);
}

static void test_freed_in_its_callback(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, event_loop_new());
    scene.frees = true;
    atomic_store(&scene.may_end, true);
    turn_until_done(&scene);
    wait_for_release(&scene);
    event_loop_free(scene.loop);
}

static void test_freed_before_its_end(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, event_loop_new());
    background_free(scene.background);
    assert_int_equal(scene.releases, 0); /* the call still runs */
    atomic_store(&scene.may_end, true);
    wait_for_release(&scene);
    event_loop_turn(scene.loop, 0);
    assert_int_equal(scene.dones, 0);
    event_loop_free(scene.loop);
}

static bool out_of_threads;

int pthread_create(pthread_t *restrict ret_thread, const pthread_attr_t *restrict attributes,
                   void *(*start_routine)(void *), void *restrict arg)
{
    __typeof__(&pthread_create) real =
        (__typeof__(&pthread_create))dlsym(RTLD_NEXT, "pthread_create");
    return out_of_threads ? EAGAIN : real(ret_thread, attributes, start_routine, arg);
}

/* The end of a call that never began comes from the loop, not from within background_new(). */
static void assert_does_not_start(struct event_loop *loop, const char *reason)
{
    struct scene scene;
    start(&scene, loop);
    assert_int_equal(scene.dones, 0);
    turn_until_done(&scene);
    assert_non_null(strstr(scene.failure.message, reason));
    assert_int_equal(scene.runs, 0);
    background_free(scene.background);
    assert_int_equal(scene.releases, 1);
    event_loop_free(loop);
}

static void test_without_threads(void **state)
{
    (void)state;
    out_of_threads = true;
    assert_does_not_start(event_loop_new(), "Resource temporarily unavailable");
    out_of_threads = false;
}

static void test_without_descriptors(void **state)
{
    (void)state;
    struct rlimit usual;
    struct event_loop *loop = event_loop_new();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, usual.rlim_max}), 0);
    assert_does_not_start(loop, "Too many open files");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_freed_in_its_callback),
        cmocka_unit_test(test_freed_before_its_end),
        cmocka_unit_test(test_without_threads),
        cmocka_unit_test(test_without_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
