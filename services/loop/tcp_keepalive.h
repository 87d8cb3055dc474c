/* TCP keepalive for connections to servers: a firewall that forgets connections without traffic
 * sees some, and a peer that has vanished is noticed without traffic of our own. */
#ifndef LOOP_TCP_KEEPALIVE_H
#define LOOP_TCP_KEEPALIVE_H

/* The first probe after 10 s of silence; after 25 s without any answer the connection is broken.
 * Best effort. */
void tcp_keepalive(int fd);

#endif
