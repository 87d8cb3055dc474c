/* One connection of a worker to a bridge, for jobs or for replies, that never gives up: libzmq
 * connects again by itself after a loss, but not after the peer broke the protocol (a frame over
 * the limit; some other server on that port for a moment) or refused the key, seen with 4.3.4. So a
 * socket that has been without a connection for 5 s is replaced by a new one. A name is looked up
 * off the loop, anew while there is no connection; its next address takes the place of one where
 * nobody has answered for 5 s. Never blocks. */
#ifndef WORKER_LINK_CONNECTION_H
#define WORKER_LINK_CONNECTION_H

#include "services/loop/event_loop.h"
#include "services/worker/link_socket.h"

struct link_connection;

struct link_connection_options {
    struct event_loop *loop;
    enum link_end end;            /* one of the two that connect */
    const struct link_key *key;   /* NULL: none; stays the caller's */
    const char *endpoint;         /* stays the caller's; well-formed */
    void (*on_ready)(void *arg);  /* can be read or written, and that is wanted */
    void (*on_change)(void *arg); /* connected, or no longer */
    /* The handshake failed: one end has another key than the other, or none. */
    void (*on_refused)(void *arg, const char *reason);
    void *arg;
};

struct link_connection *link_connection_new(const struct link_connection_options *options);
void link_connection_free(struct link_connection *connection); /* NULL is legal */

/* Connect, now and whenever it is lost. */
void link_connection_open(struct link_connection *connection);

bool link_connection_up(const struct link_connection *connection);

/* Whether on_ready() is wanted; at first it is not. */
void link_connection_want(struct link_connection *connection, bool wanted);

/* Send or receive a frame without waiting, as zmq_msg_send() and zmq_msg_recv() do. */
bool link_connection_send(const struct link_connection *connection, zmq_msg_t *frame);
bool link_connection_receive(const struct link_connection *connection, zmq_msg_t *frame);

#endif
