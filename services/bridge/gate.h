/* Who comes in at the bridge's ports: members alone where there is a key, and nobody while
 * descriptors are short. On the loop's thread; never blocks. Metrics:
 * bridge_refused_connections_total. */
#ifndef BRIDGE_GATE_H
#define BRIDGE_GATE_H

#include "proto/error.h"
#include "services/loop/event_loop.h"
#include "services/worker/link_key.h"
#include <stdbool.h>

struct gate;

/* Before the sockets that it is for. `key` (NULL: none) stays the caller's. Returns NULL with `err`
 * set when this process has a gate with a key already. */
struct gate *gate_new(struct event_loop *loop, const struct link_key *key, struct error *err)
    __attribute__((warn_unused_result));
void gate_free(struct gate *gate); /* after those sockets; NULL is legal */

/* NULL: none. */
const struct link_key *gate_key(const struct gate *gate);

/* What the gate knows of a bound socket; zero at first. */
struct gate_port {
    unsigned half_open; /* connections in the handshake */
    unsigned shut;      /* by the gate, of which libzmq has not told yet */
    bool failed;        /* that of the connection whose end is the next event */
};

/* News of a bound socket's connections: an event of zmq_socket_monitor(3) and its value. */
void gate_event(struct gate *gate, struct gate_port *port, int event, int value);

#endif
