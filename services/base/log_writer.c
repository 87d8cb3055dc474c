/* A ring of bytes between those who log and the one thread that writes. The thread may stand in
 * write() for as long as nobody reads standard error (a full pipe, a stopped terminal); meanwhile
 * the ring fills up, and further lines are dropped. Standard error stays as it was given to us:
 * O_NONBLOCK would hold for every process that shares it. */
#include "services/base/log_writer.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES ((size_t)256 * 1024) /* over a thousand usual lines */

#define STARVED_TURNS 10 /* of a flush, while it is not the reader that is late */

typedef uint16_t line_len_t; /* stands before each line in the ring */

static pthread_once_t started = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static char ring[RING_BYTES];
static size_t first, used; /* bytes */
static bool writing;       /* the thread has taken a line out and is not done with it */
static _Atomic uint64_t dropped;

static void copy_in(const void *from, size_t len)
{
    size_t at = (first + used) % RING_BYTES;
    size_t before_end = len < RING_BYTES - at ? len : RING_BYTES - at;
    memcpy(ring + at, from, before_end);
    memcpy(ring, (const char *)from + before_end, len - before_end);
    used += len;
}

static void copy_out(void *to, size_t len)
{
    size_t before_end = len < RING_BYTES - first ? len : RING_BYTES - first;
    memcpy(to, ring + first, before_end);
    memcpy((char *)to + before_end, ring, len - before_end);
    first = (first + len) % RING_BYTES;
    used -= len;
}

/* Returns whether all of it was taken. Another process may have made the descriptor non-blocking.
 */
static bool write_line(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDERR_FILENO, line, len);
        if (written < 0 && errno == EAGAIN)
            (void)poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
        else if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            line += written;
            len -= (size_t)written;
        }
    }
    return true;
}

static void *write_lines(void *arg)
{
    (void)arg;
    char line[LOG_LINE_MAX_BYTES];
    line_len_t len;
    (void)pthread_mutex_lock(&mutex);
    for (;;) {
        writing = false;
        if (used == 0)
            (void)pthread_cond_broadcast(&emptied);
        while (used == 0)
            (void)pthread_cond_wait(&filled, &mutex);
        copy_out(&len, sizeof len);
        copy_out(line, len);
        writing = true;
        (void)pthread_mutex_unlock(&mutex);
        if (!write_line(line, len))
            dropped++; /* nobody will ever read it: there is nowhere to say so */
        (void)pthread_mutex_lock(&mutex);
    }
    return NULL;
}

/* The first line may come before the service has blocked its signals: none may go to this thread.
 */
static void start(void)
{
    pthread_t thread;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, write_lines, NULL) != 0 || pthread_detach(thread) != 0)
        abort(); /* out of memory or threads at the start */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool log_writer_put(const char *line, size_t len_bytes)
{
    line_len_t len = (line_len_t)len_bytes;
    (void)pthread_once(&started, start);
    (void)pthread_mutex_lock(&mutex);
    bool fits = sizeof len + len_bytes <= RING_BYTES - used;
    if (fits) {
        copy_in(&len, sizeof len);
        copy_in(line, len_bytes);
        (void)pthread_cond_signal(&filled);
    }
    (void)pthread_mutex_unlock(&mutex);
    if (!fits)
        dropped++;
    return fits;
}

uint64_t log_writer_dropped(void)
{
    return dropped;
}

/* Whether standard error takes a line now. Then the thread that has not written it wants for the
 * processor, and there is no reader to give up. */
static bool takes_lines(void)
{
    return poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) > 0;
}

/* Returns whether something has happened within this time. */
static bool wait_emptied(int64_t patience_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail with this clock */
    until.tv_sec += (time_t)(patience_ms / 1000);
    until.tv_nsec += (long)(patience_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_clockwait(&emptied, &mutex, CLOCK_MONOTONIC, &until) == 0;
}

void log_writer_flush(int64_t patience_ms)
{
    (void)pthread_mutex_lock(&mutex);
    for (int i = 0; i < STARVED_TURNS && (used > 0 || writing); i++)
        if (!wait_emptied(patience_ms) && !takes_lines())
            break;
    (void)pthread_mutex_unlock(&mutex);
}
