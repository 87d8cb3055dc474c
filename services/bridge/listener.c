/* The socket, and its monitor, whose news the gate acts on. */
#include "services/bridge/listener.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/worker/link_monitor.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct listener {
    struct gate *gate;
    struct gate_port port;
    char endpoint[ENDPOINT_SIZE];
    bool tcp;
    zsock_t *socket;
    struct link_monitor *monitor;
};

static void on_event(void *arg, int event, int value)
{
    struct listener *listener = arg;
    if (event == ZMQ_EVENT_LISTENING && listener->tcp)
        link_socket_limit_segments(value);
    gate_event(listener->gate, &listener->port, event, value);
}

struct listener *listener_new(struct event_loop *loop, struct gate *gate, enum link_end end,
                              const char *endpoint)
{
    struct listener *listener = memory_new(sizeof *listener);
    listener->gate = gate;
    listener->tcp = bridge_endpoint_is_tcp(endpoint);
    const struct link_key *key = listener->tcp ? gate_key(gate) : NULL;
    (void)snprintf(listener->endpoint, sizeof listener->endpoint, "%s", endpoint); /* it fits */
    listener->socket = link_socket_new(end, key);
    listener->monitor = link_monitor_new(&(struct link_monitor_options){
        .loop = loop,
        .socket = listener->socket,
        .tcp = listener->tcp,
        .encrypted = key != NULL,
        .on_event = on_event,
        .arg = listener,
    });
    return listener;
}

int listener_open(struct listener *listener, struct error *err)
{
    mode_t before = umask(0077); /* a socket file is for its owner alone */
    int bound = zsock_bind(listener->socket, "%s", listener->endpoint);
    int failure = errno;
    (void)umask(before);
    link_monitor_read(listener->monitor); /* the event of listening is there */
    if (bound >= 0)
        return 0;
    error_set(err, "cannot bind %s: %s", listener->endpoint, zmq_strerror(failure));
    return -1;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    link_monitor_free(listener->monitor);
    zsock_destroy(&listener->socket);
    free(listener);
}

zsock_t *listener_socket(const struct listener *listener)
{
    return listener->socket;
}

bool listener_receive(struct listener *listener, zmq_msg_t *frame)
{
    return link_monitor_receive(listener->monitor, frame);
}
