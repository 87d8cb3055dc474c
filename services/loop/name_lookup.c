/* What the loop's thread and the lookup's share is freed by whoever lets go of it last, so that
 * neither waits for the other. */
#include "services/loop/name_lookup.h"
#include "services/base/memory.h"
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct shared_lookup {
    atomic_uint references;
    atomic_bool finished;
    int finished_fd;                  /* readable then */
    struct name_lookup_result result; /* the thread's until `finished` */
    char host[];
};

struct name_lookup {
    struct shared_lookup *shared;
    struct loop_watch *watch;   /* of `finished_fd` */
    struct loop_timer *refusal; /* or, when there was no descriptor for it, the failure to come */
    name_lookup_done_fn *on_done;
    void *arg;
};

static void release(struct shared_lookup *shared)
{
    if (atomic_fetch_sub(&shared->references, 1) > 1)
        return;
    if (shared->finished_fd >= 0)
        close(shared->finished_fd);
    free(shared);
}

static void resolve(const char *host, struct name_lookup_result *result)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc == EAI_NONAME || rc == EAI_ADDRFAMILY) { /* a machine with nothing but loopback */
        hints.ai_flags = 0;
        rc = getaddrinfo(host, NULL, &hints, &found);
    }
    if (rc != 0) {
        error_set(&result->error, "cannot resolve \"%s\": %s", host, gai_strerror(rc));
        return;
    }
    for (struct addrinfo *a = found; a != NULL && result->count < NAME_LOOKUP_ADDRESSES_MAX;
         a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, result->addresses[result->count],
                        NAME_LOOKUP_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
            result->count++;
    freeaddrinfo(found);
    if (result->count == 0)
        error_set(&result->error, "\"%s\" has no address", host);
}

static void finish(struct shared_lookup *shared)
{
    atomic_store(&shared->finished, true);
    (void)eventfd_write(shared->finished_fd, 1); /* cannot fail: it is written once */
    release(shared);
}

static void *run(void *arg)
{
    struct shared_lookup *shared = arg;
    resolve(shared->host, &shared->result);
    finish(shared);
    return NULL;
}

static void start_thread(struct shared_lookup *shared)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigfillset(&all); /* signals are the main thread's */
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_attr_setsigmask_np(&attributes, &all) != 0)
        abort();
    pthread_t thread;
    if (pthread_create(&thread, &attributes, run, shared) != 0) {
        error_set(&shared->result.error, "cannot start a thread to resolve \"%s\"", shared->host);
        finish(shared);
    }
    pthread_attr_destroy(&attributes);
}

static void on_finished(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct name_lookup *lookup = arg;
    if (!atomic_load(&lookup->shared->finished))
        return;
    loop_watch_want(lookup->watch, false, false);
    lookup->on_done(lookup->arg, &lookup->shared->result);
}

static void on_refusal(void *arg)
{
    struct name_lookup *lookup = arg;
    lookup->on_done(lookup->arg, &lookup->shared->result);
}

struct name_lookup *name_lookup_new(struct event_loop *loop, const char *host,
                                    name_lookup_done_fn *on_done, void *arg)
{
    size_t host_size = strlen(host) + 1;
    struct shared_lookup *shared = memory_new(sizeof(*shared) + host_size);
    memcpy(shared->host, host, host_size);
    shared->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    struct name_lookup *lookup = memory_new(sizeof(*lookup));
    lookup->shared = shared;
    lookup->on_done = on_done;
    lookup->arg = arg;
    if (shared->finished_fd >= 0) {
        atomic_init(&shared->references, 2);
        lookup->watch = event_loop_watch(loop, shared->finished_fd, on_finished, lookup);
        loop_watch_want(lookup->watch, true, false);
        start_thread(shared);
    } else {
        atomic_init(&shared->references, 1);
        error_set(&shared->result.error, "cannot resolve \"%s\": %s", host, strerror(errno));
        lookup->refusal = event_loop_timer(loop, on_refusal, lookup);
        loop_timer_start(lookup->refusal, 0);
    }
    return lookup;
}

void name_lookup_free(struct name_lookup *lookup)
{
    if (lookup == NULL)
        return;
    loop_watch_free(lookup->watch);
    loop_timer_free(lookup->refusal);
    release(lookup->shared);
    free(lookup);
}
