/* What libzmq may be given to connect to. A name it would resolve on its one thread of input and
 * output (libzmq 4.3.4, tcp_connecter), which waits for the name service meanwhile: for 40 s and
 * longer, when that does not answer for a peer that is not there. For so long all connections of
 * the process stand still, heartbeats included. So a name is looked up here, and libzmq gets an
 * address. */
#ifndef LOOP_ZMQ_ADDRESS_H
#define LOOP_ZMQ_ADDRESS_H

#include "services/loop/event_loop.h"

struct zmq_address;

/* The name has an address, or another one than before. From the loop. */
typedef void zmq_address_moved_fn(void *arg);

/* `endpoint` is a valid one of ZeroMQ's to connect to; it is copied. */
struct zmq_address *zmq_address_new(struct event_loop *loop, const char *endpoint,
                                    zmq_address_moved_fn *on_moved, void *arg);

/* NULL is legal. Never waits. */
void zmq_address_free(struct zmq_address *address);

/* Look the name up, off the loop, unless that is under way or was begun less than a second ago. An
 * address that the name still has stays the endpoint; with `next` the following one of its
 * addresses takes its place, because nobody answers there. Does nothing for an endpoint without a
 * name. */
void zmq_address_look(struct zmq_address *address, bool next);

/* The endpoint to connect to, or NULL while it is not known; it always is when the endpoint has no
 * name. Valid until the next look. */
const char *zmq_address_endpoint(const struct zmq_address *address);

#endif
