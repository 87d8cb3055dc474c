/* The options of one socket; tcp(7). */
#include "services/loop/tcp_keepalive.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define IDLE_S 10 /* the same as libpq is told (clients/postgres/dsn.c) */
#define INTERVAL_S 5
#define COUNT 3

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value)); /* not vital */
}

void tcp_keepalive(int fd)
{
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, COUNT);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
