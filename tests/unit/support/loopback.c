/* TCP on 127.0.0.1, for servers and peers of tests. */
#include "tests/unit/support/loopback.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below net.ipv4.ip_local_port_range. */
#define FIRST_FREE_PORT 10000
#define FREE_PORTS 10000
#define BACKLOG 64

static void must(bool done, const char *what)
{
    if (!done) {
        perror(what);
        abort();
    }
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    return fd;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = new_socket(), reuse = 1;
    /* A port with no more than connections that wait for their end is free to a server. */
    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) == 0, "SO_REUSEADDR");
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    must(bound || errno == EADDRINUSE, "bind");
    close(fd);
    return bound;
}

uint16_t loopback_free_ports(unsigned count)
{
    for (;;) {
        uint16_t number;
        unsigned found = 0;
        must(getrandom(&number, sizeof number, 0) == sizeof number, "getrandom");
        uint16_t first = (uint16_t)(FIRST_FREE_PORT + number % FREE_PORTS);
        while (found < count && is_free((uint16_t)(first + found)))
            found++;
        if (found == count)
            return first;
    }
}

int loopback_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = new_socket();
    must(bind(fd, (struct sockaddr *)&address, len) == 0, "bind");
    must(listen(fd, BACKLOG) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "getsockname");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int loopback_connect(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = new_socket();
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool is_connected_to(int fd, uint16_t port)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return false;
    if (peer.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&peer)->sin6_port) == port;
    return peer.ss_family == AF_INET &&
           ntohs(((const struct sockaddr_in *)&peer)->sin_port) == port;
}

bool loopback_keeps_alive(uint16_t port)
{
    enum { MOST_DESCRIPTORS = 1024, MOST_IDLE_S = 60 };
    unsigned found = 0, kept = 0;
    for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
        int on = 0, idle_s = 0;
        socklen_t len = sizeof on;
        if (!is_connected_to(fd, port))
            continue;
        must(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0, "SO_KEEPALIVE");
        must(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &len) == 0, "TCP_KEEPIDLE");
        found++;
        kept += on != 0 && idle_s < MOST_IDLE_S;
    }
    return found > 0 && kept == found;
}
