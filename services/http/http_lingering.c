/* The oldest comes first in the list, so its deadline is the next one. */
#include "services/http/http_lingering.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS 1000
#define LINGER_BYTES 65536
#define READ_BYTES 16384

struct lingering_socket {
    struct http_lingering *all;
    TAILQ_ENTRY(lingering_socket) link;
    struct loop_watch *watch;
    int fd;
    size_t dropped_bytes;
    int64_t deadline_ms;
};

struct http_lingering {
    struct event_loop *events;
    struct loop_timer *timer; /* runs while there are sockets */
    TAILQ_HEAD(, lingering_socket) sockets;
    unsigned count;
};

unsigned http_lingering_count(const struct http_lingering *lingering)
{
    return lingering->count;
}

static void end(struct lingering_socket *socket)
{
    TAILQ_REMOVE(&socket->all->sockets, socket, link);
    socket->all->count--;
    loop_watch_free(socket->watch);
    (void)close(socket->fd);
    free(socket);
}

static void on_readable(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct lingering_socket *socket = arg;
    char dropped[READ_BYTES];
    ssize_t got = recv(socket->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (got > 0)
        socket->dropped_bytes += (size_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) ||
        socket->dropped_bytes >= LINGER_BYTES)
        end(socket);
}

static void on_timer(void *arg)
{
    struct http_lingering *lingering = arg;
    int64_t now_ms = clock_monotonic_ms();
    struct lingering_socket *oldest;
    while ((oldest = TAILQ_FIRST(&lingering->sockets)) != NULL && oldest->deadline_ms <= now_ms)
        end(oldest);
    if (oldest != NULL)
        loop_timer_start(lingering->timer, oldest->deadline_ms - now_ms);
}

void http_lingering_add(struct http_lingering *lingering, int fd)
{
    if (shutdown(fd, SHUT_WR) != 0) { /* the connection is broken already */
        (void)close(fd);
        return;
    }
    if (lingering->count == HTTP_LINGERING_MAX)
        end(TAILQ_FIRST(&lingering->sockets));
    struct lingering_socket *socket = memory_new(sizeof(*socket));
    socket->all = lingering;
    socket->fd = fd;
    socket->deadline_ms = clock_monotonic_ms() + LINGER_MS;
    socket->watch = event_loop_watch(lingering->events, fd, on_readable, socket);
    loop_watch_want(socket->watch, true, false);
    TAILQ_INSERT_TAIL(&lingering->sockets, socket, link);
    lingering->count++;
    if (!loop_timer_running(lingering->timer))
        loop_timer_start(lingering->timer, LINGER_MS);
}

struct http_lingering *http_lingering_new(struct event_loop *events)
{
    struct http_lingering *lingering = memory_new(sizeof(*lingering));
    lingering->events = events;
    lingering->timer = event_loop_timer(events, on_timer, lingering);
    TAILQ_INIT(&lingering->sockets);
    return lingering;
}

void http_lingering_free(struct http_lingering *lingering)
{
    while (!TAILQ_EMPTY(&lingering->sockets))
        end(TAILQ_FIRST(&lingering->sockets));
    loop_timer_free(lingering->timer);
    free(lingering);
}
