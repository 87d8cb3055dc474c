/* The loop and the thread share one struct with a reference count. The last one to release it frees
 * it, so neither waits. */
#include "services/loop/background.h"
#include "services/base/memory.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct background {
    struct background_call call;
    atomic_uint references;
    atomic_bool finished;
    int finished_fd;           /* readable then */
    struct loop_watch *watch;  /* of `finished_fd`; the loop's */
    struct loop_timer *report; /* of a call that could not start; the loop's */
    struct error failure;      /* why it could not */
};

static void release(struct background *background)
{
    if (atomic_fetch_sub(&background->references, 1) > 1)
        return;
    background->call.release(background->call.work);
    if (background->finished_fd >= 0)
        close(background->finished_fd);
    free(background);
}

static void *run(void *arg)
{
    struct background *background = arg;
    background->call.run(background->call.work);
    atomic_store(&background->finished, true);
    (void)eventfd_write(background->finished_fd, 1); /* cannot fail: it is written once */
    release(background);
    return NULL;
}

static int start_thread(struct background *background)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    (void)sigfillset(&all); /* signals are the main thread's */
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_attr_setsigmask_np(&attributes, &all) != 0)
        abort();
    int failed = pthread_create(&thread, &attributes, run, background);
    (void)pthread_attr_destroy(&attributes);
    return failed;
}

static void on_finished(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct background *background = arg;
    if (!atomic_load(&background->finished))
        return;
    loop_watch_want(background->watch, false, false);
    background->call.on_done(background->call.arg, NULL);
}

static void on_report(void *arg)
{
    struct background *background = arg;
    background->call.on_done(background->call.arg, &background->failure);
}

struct background *background_new(struct event_loop *loop, const struct background_call *call)
{
    struct background *background = memory_new(sizeof *background);
    background->call = *call;
    atomic_init(&background->references, 2);
    background->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = background->finished_fd < 0 ? errno : start_thread(background);
    if (failed == 0) {
        background->watch =
            event_loop_watch(loop, background->finished_fd, on_finished, background);
        loop_watch_want(background->watch, true, false);
    } else {
        atomic_init(&background->references, 1);
        error_set(&background->failure, "%s", strerror(failed));
        background->report = event_loop_timer(loop, on_report, background);
        loop_timer_start(background->report, 0);
    }
    return background;
}

void background_free(struct background *background)
{
    if (background == NULL)
        return;
    loop_watch_free(background->watch);
    loop_timer_free(background->report);
    release(background);
}
