/* TCP on 127.0.0.1. A test program aborts where the system refuses what these functions need. */
#ifndef TESTS_LOOPBACK_H
#define TESTS_LOOPBACK_H

#include <stdbool.h>
#include <stdint.h>

/* The first of `count` ports in a row that no program listens on, for a server that is to be
 * started. The kernel gives such a port to no connection of its own accord, so it stays free until
 * the server listens. */
uint16_t loopback_free_ports(unsigned count);

/* A socket that listens on a port chosen by the kernel; the caller closes it. */
int loopback_listen(uint16_t *ret_port);

/* A connection to this port, or -1 when it is refused; the caller closes it. */
int loopback_connect(uint16_t port);

/* Whether this process has a connection to this port, on any address, and all of them have TCP
 * keepalive, the first probe after at most a minute. */
bool loopback_keeps_alive(uint16_t port);

#endif
