/* The test's own monotonic clock, in place of the functions of libc. A timerfd is an eventfd here,
 * which is written to when its time has come: so it is readable as soon as the time was moved, and
 * not a moment later. */
#include "tests/unit/support/test_clock.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t now_ns; /* 0: not asked for yet */

/* By the number of its descriptor. `own_fd` is a duplicate that stays open, because the number may
 * be another file's meanwhile; `due_ns` is 0 while the timer is not armed. */
static struct {
    int own_fd;
    int64_t due_ns;
} timers[FDS_MAX];

static void must(int done, const char *what)
{
    if (!done) {
        perror(what);
        abort();
    }
}

static int64_t in_ns(struct timespec time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* It begins with the real time, for waits of libraries that the kernel measures by its own clock.
 */
static void begin(void)
{
    struct timespec now;
    if (now_ns != 0)
        return;
    must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0, "clock_gettime");
    now_ns = in_ns(now) / 1000000 * 1000000;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_RAW && id != CLOCK_MONOTONIC_COARSE)
        return (int)syscall(SYS_clock_gettime, id, ret);
    pthread_mutex_lock(&lock);
    begin();
    *ret = (struct timespec){.tv_sec = now_ns / 1000000000, .tv_nsec = now_ns % 1000000000};
    pthread_mutex_unlock(&lock);
    return 0;
}

int timerfd_create(clockid_t id, int flags)
{
    (void)id;
    int fd = eventfd(0, flags); /* the flags of both have the same values */
    must(fd >= 0 && fd < FDS_MAX, "timerfd_create");
    pthread_mutex_lock(&lock);
    if (timers[fd].own_fd != 0)
        close(timers[fd].own_fd); /* of a timer that was closed */
    timers[fd].own_fd = dup(fd);
    timers[fd].due_ns = 0;
    must(timers[fd].own_fd > 0, "dup");
    pthread_mutex_unlock(&lock);
    return fd;
}

static void expire_if_due(int fd)
{
    const uint64_t expirations = 1;
    if (timers[fd].due_ns == 0 || timers[fd].due_ns > now_ns)
        return;
    timers[fd].due_ns = 0;
    must(write(timers[fd].own_fd, &expirations, sizeof expirations) == sizeof expirations, "timer");
}

/* Relative and not periodic, as event_loop.c wants it, which asks for at least 1 us. */
int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *old)
{
    must(fd < FDS_MAX && timers[fd].own_fd != 0 && flags == 0 && old == NULL, "timerfd_settime");
    uint64_t expirations;
    int64_t delay_ns = in_ns(wanted->it_value);
    pthread_mutex_lock(&lock);
    begin();
    (void)!read(timers[fd].own_fd, &expirations, sizeof expirations); /* EAGAIN: not expired */
    timers[fd].due_ns = delay_ns == 0 ? 0 : now_ns + (delay_ns > 1000 ? delay_ns : 0);
    expire_if_due(fd);
    pthread_mutex_unlock(&lock);
    return 0;
}

void test_clock_advance(int64_t ms)
{
    pthread_mutex_lock(&lock);
    begin();
    now_ns += ms * 1000000;
    for (int fd = 0; fd < FDS_MAX; fd++)
        expire_if_due(fd);
    pthread_mutex_unlock(&lock);
}
