/* One bound socket of the bridge, and those who connect to it. On the loop's thread; never blocks.
 */
#ifndef BRIDGE_LISTENER_H
#define BRIDGE_LISTENER_H

#include "services/bridge/gate.h"
#include "services/worker/link_socket.h"

struct listener;

/* A socket that does not listen yet. The gate must outlive it. */
struct listener *listener_new(struct event_loop *loop, struct gate *gate, enum link_end end,
                              const char *endpoint);
void listener_free(struct listener *listener); /* NULL is legal */

/* Bind it: 0, or -1 with `err` set. */
int listener_open(struct listener *listener, struct error *err) __attribute__((warn_unused_result));

zsock_t *listener_socket(const struct listener *listener);

/* Receive a frame without waiting, as zmq_msg_recv() does. */
bool listener_receive(struct listener *listener, zmq_msg_t *frame);

#endif
