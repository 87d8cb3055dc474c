/* Accepting rests when descriptors have run out: the listening socket stays readable then, and a
 * loop that waits for that would never sleep. */
#include "services/http/http_listener.h"
#include "services/base/memory.h"
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_WAKE 16 /* then those accepted before are read */
#define REST_MS 100
#define UNREAD_ANSWER_TIMEOUT_MS 10000

struct http_listener {
    h2o_socket_t *sock;
    struct http_listener_events on;
    struct loop_timer *rest;
    bool put_off; /* the next connection, until this turn */
};

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return errno != EAFNOSUPPORT;
    close(fd);
    return true;
}

int http_listen(const char *address, uint16_t port, bool shared, struct error *err)
{
    if (strcmp(address, "::") == 0 && !has_ipv6())
        address = "0.0.0.0";
    char service[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *found;
    (void)snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(address, service, &hints, &found) != 0) {
        error_set(err, "cannot listen on %s: not a numeric address", address);
        return -1;
    }
    int on = 1, off = 0;
    /* The connections inherit it: the kernel gives up a peer that takes nothing for so long. */
    int unread_ms = UNREAD_ANSWER_TIMEOUT_MS;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (found->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms, sizeof(unread_ms)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        error_set(err, "cannot listen on %s port %u: %s", address, port, strerror(errno));
        if (fd != -1)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* At the limit. The next connection is not refused at once: what the others have sent may not have
 * been read yet, and after that one of them can go. */
static bool puts_off_next(struct http_listener *listener)
{
    struct pollfd pollfd = {.fd = h2o_socket_get_fd(listener->sock), .events = POLLIN};
    bool there_is_one = poll(&pollfd, 1, 0) == 1;
    listener->put_off =
        there_is_one && !listener->put_off && !listener->on.make_place(listener->on.arg);
    return listener->put_off;
}

/* Returns for how long accepting has to rest: 0 is until all that was sent has been read, -1 not at
 * all. */
static int64_t accept_some(struct http_listener *listener, unsigned limit, bool may_put_off)
{
    for (unsigned i = 0; i < limit; i++) {
        if (may_put_off && listener->on.is_full(listener->on.arg) && puts_off_next(listener))
            return 0;
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener->sock);
        if (sock != NULL) {
            listener->on.on_connection(listener->on.arg, sock);
            continue;
        }
        int reason = errno;
        if (reason == EAGAIN || reason == EINTR || reason == ECONNABORTED)
            return -1;
        if (reason != EMFILE || !listener->on.make_place(listener->on.arg))
            return REST_MS;
    }
    return -1;
}

static void on_connections(h2o_socket_t *sock, const char *err)
{
    struct http_listener *listener = sock->data;
    int64_t rest_ms = err == NULL ? accept_some(listener, ACCEPTS_PER_WAKE, true) : -1;
    if (rest_ms == -1)
        return;
    h2o_socket_read_stop(sock);
    loop_timer_start(listener->rest, rest_ms);
}

static void on_rested(void *arg)
{
    struct http_listener *listener = arg;
    h2o_socket_read_start(listener->sock, on_connections);
}

/* Closing the socket at once would reset connections that are complete for their clients, perhaps
 * with a request on its way. A client whose first packet is lost tries again after a second, and is
 * refused then, which is a safe reason to take another server. */
void http_listener_refuse_new(struct http_listener *listener)
{
    if (listener == NULL)
        return;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags: the filter sees TCP's header first */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02 /* SYN */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    /* Where the kernel has no filters, they are taken for a moment longer. */
    (void)setsockopt(h2o_socket_get_fd(listener->sock), SOL_SOCKET, SO_ATTACH_FILTER, &program,
                     sizeof(program));
}

struct http_listener *http_listener_new(h2o_loop_t *loop, struct event_loop *events, int listen_fd,
                                        const struct http_listener_events *on)
{
    struct http_listener *listener = memory_new(sizeof(*listener));
    listener->on = *on;
    listener->rest = event_loop_timer(events, on_rested, listener);
    listener->sock = h2o_evloop_socket_create(loop, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->sock->data = listener;
    h2o_socket_read_start(listener->sock, on_connections);
    return listener;
}

void http_listener_free(struct http_listener *listener)
{
    if (listener == NULL)
        return;
    (void)accept_some(listener, SOMAXCONN, false);
    h2o_socket_close(listener->sock);
    loop_timer_free(listener->rest);
    free(listener);
}
