/* A proxy between a client under test and a server, which stalls or cuts connections. */
#include "tests/unit/support/stalling_proxy.h"
#include "tests/unit/support/loopback.h"
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define TURN_MS 5

struct pair {
    int client_fd, server_fd;
};

struct stalling_proxy {
    pthread_t thread;
    uint16_t server_port;
    int listen_fd;
    uint16_t port;
    char url[64];
    atomic_int mode;
    const char *_Atomic stall_at;
    atomic_bool cut, stopping;
    struct pair pairs[PAIRS_MAX];
    size_t count;
};

static void close_pair(struct stalling_proxy *proxy, size_t index)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    const int fds[] = {proxy->pairs[index].client_fd, proxy->pairs[index].server_fd};
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fds[i]);
    }
    proxy->pairs[index] = proxy->pairs[--proxy->count];
}

static void accept_pair(struct stalling_proxy *proxy)
{
    struct pair pair = {.client_fd = accept(proxy->listen_fd, NULL, NULL)};
    if (pair.client_fd < 0)
        return;
    pair.server_fd = proxy->count < PAIRS_MAX ? loopback_connect(proxy->server_port) : -1;
    if (pair.server_fd < 0) {
        close(pair.client_fd);
        return;
    }
    proxy->pairs[proxy->count++] = pair;
}

/* Returns whether the connection lives. */
static bool forward(struct stalling_proxy *proxy, int from_fd, int to_fd)
{
    char bytes[65536];
    ssize_t len = recv(from_fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (len <= 0)
        return len < 0;
    const char *stall_at = atomic_load(&proxy->stall_at);
    if (stall_at && memmem(bytes, (size_t)len, stall_at, strlen(stall_at))) {
        atomic_store(&proxy->mode, PROXY_STALLS);
        return true;
    }
    for (ssize_t sent = 0; sent < len;) {
        ssize_t more = send(to_fd, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL);
        if (more <= 0)
            return false;
        sent += more;
    }
    return true;
}

static void *run(void *arg)
{
    struct stalling_proxy *proxy = arg;
    while (!atomic_load(&proxy->stopping)) {
        int mode = atomic_load(&proxy->mode);
        struct pollfd fds[1 + 2 * PAIRS_MAX] = {{.fd = proxy->listen_fd, .events = POLLIN}};
        for (size_t i = 0; i < proxy->count; i++) {
            bool client = mode != PROXY_STALLS, replies = mode == PROXY_FORWARDS;
            fds[1 + 2 * i] = (struct pollfd){client ? proxy->pairs[i].client_fd : -1, POLLIN, 0};
            fds[2 + 2 * i] = (struct pollfd){replies ? proxy->pairs[i].server_fd : -1, POLLIN, 0};
        }
        (void)poll(fds, (nfds_t)(1 + 2 * proxy->count), TURN_MS);
        bool cut = atomic_exchange(&proxy->cut, false);
        for (size_t i = proxy->count; i-- > 0;) {
            const struct pair *pair = &proxy->pairs[i];
            if (cut ||
                (fds[1 + 2 * i].revents && !forward(proxy, pair->client_fd, pair->server_fd)) ||
                (fds[2 + 2 * i].revents && !forward(proxy, pair->server_fd, pair->client_fd)))
                close_pair(proxy, i);
        }
        if (fds[0].revents & POLLIN)
            accept_pair(proxy);
    }
    while (proxy->count > 0)
        close_pair(proxy, 0);
    return NULL;
}

struct stalling_proxy *stalling_proxy_new(uint16_t server_port)
{
    struct stalling_proxy *proxy = calloc(1, sizeof *proxy);
    assert(proxy);
    proxy->server_port = server_port;
    proxy->listen_fd = loopback_listen(&proxy->port);
    if (pthread_create(&proxy->thread, NULL, run, proxy) != 0)
        abort();
    (void)snprintf(proxy->url, sizeof proxy->url, "amqp://guest:guest@127.0.0.1:%u/",
                   (unsigned)proxy->port);
    return proxy;
}

void stalling_proxy_free(struct stalling_proxy *proxy)
{
    if (!proxy)
        return;
    atomic_store(&proxy->stopping, true);
    pthread_join(proxy->thread, NULL);
    close(proxy->listen_fd);
    free(proxy);
}

const char *stalling_proxy_url(const struct stalling_proxy *proxy)
{
    return proxy->url;
}

uint16_t stalling_proxy_port(const struct stalling_proxy *proxy)
{
    return proxy->port;
}

void stalling_proxy_stall_at(struct stalling_proxy *proxy, const char *text)
{
    atomic_store(&proxy->stall_at, text);
}

enum proxy_mode stalling_proxy_mode(const struct stalling_proxy *proxy)
{
    return (enum proxy_mode)atomic_load(&proxy->mode);
}

void stalling_proxy_set(struct stalling_proxy *proxy, enum proxy_mode mode)
{
    atomic_store(&proxy->mode, (int)mode);
}

void stalling_proxy_cut(struct stalling_proxy *proxy)
{
    atomic_store(&proxy->cut, true);
    while (atomic_load(&proxy->cut))
        usleep(1000);
}
