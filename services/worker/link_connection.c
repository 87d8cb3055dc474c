/* One ZeroMQ socket that connects, watched by its monitor, and replaced when it stays down. */
#include "services/worker/link_connection.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/loop/zmq_address.h"
#include "services/worker/link_monitor.h"
#include <stdlib.h>

#define LOOK_MS 1000
#define REPLACE_MS 5000

struct link_connection {
    struct link_connection_options options;
    zsock_t *socket;
    struct link_monitor *monitor;
    struct loop_watch *socket_watch;
    bool up, wanted;
    int64_t down_since_ms;
    struct loop_timer *timer;
    struct zmq_address *address;
};

static void on_ready(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct link_connection *connection = arg;
    connection->options.on_ready(connection->options.arg);
}

static void watch(struct link_connection *connection)
{
    bool reads = connection->options.end == LINK_JOBS_FROM_BRIDGE;
    loop_watch_want(connection->socket_watch, connection->wanted && reads,
                    connection->wanted && !reads);
}

static void set_up(struct link_connection *connection, bool up)
{
    if (up == connection->up)
        return;
    connection->up = up;
    connection->down_since_ms = clock_monotonic_ms();
    connection->options.on_change(connection->options.arg);
}

/* libzmq tells a client of a server with another key only that the server closed the connection. */
static void on_event(void *arg, int event, int value)
{
    (void)value;
    struct link_connection *connection = arg;
    const struct link_connection_options *options = &connection->options;
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        set_up(connection, true);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        set_up(connection, false);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        options->on_refused(options->arg, "the bridge refuses this worker's LINK_KEY");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        options->on_refused(options->arg, "only one of bridge and worker has a LINK_KEY");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        options->on_refused(options->arg, options->key
                                              ? "no handshake: the bridge may have another LINK_KEY"
                                              : "no handshake: this may be no bridge");
        break;
    default:
        break;
    }
}

static void make_socket(struct link_connection *connection)
{
    const struct link_connection_options *options = &connection->options;
    connection->socket = link_socket_new(options->end, options->key);
    connection->monitor = link_monitor_new(&(struct link_monitor_options){
        .loop = options->loop,
        .socket = connection->socket,
        .tcp = bridge_endpoint_is_tcp(options->endpoint),
        .encrypted = options->key != NULL,
        .on_event = on_event,
        .arg = connection,
    });
    connection->socket_watch =
        event_loop_watch_zmq(options->loop, connection->socket, on_ready, connection);
    watch(connection);
}

static void destroy_socket(struct link_connection *connection)
{
    loop_watch_free(connection->socket_watch);
    link_monitor_free(connection->monitor);
    zsock_destroy(&connection->socket);
}

static void connect_socket(struct link_connection *connection)
{
    if (zsock_connect(connection->socket, "%s", zmq_address_endpoint(connection->address)) != 0)
        abort(); /* it is well-formed */
    connection->down_since_ms = clock_monotonic_ms();
}

static void replace_socket(struct link_connection *connection)
{
    destroy_socket(connection);
    make_socket(connection);
    connect_socket(connection);
}

static void on_moved(void *arg)
{
    struct link_connection *connection = arg;
    if (!connection->up)
        replace_socket(connection);
}

static void on_look(void *arg)
{
    struct link_connection *connection = arg;
    loop_timer_start(connection->timer, LOOK_MS);
    if (connection->up)
        return;
    bool in_vain = zmq_address_endpoint(connection->address) != NULL &&
                   clock_monotonic_ms() - connection->down_since_ms >= REPLACE_MS;
    zmq_address_look(connection->address, in_vain);
    if (in_vain)
        replace_socket(connection);
}

struct link_connection *link_connection_new(const struct link_connection_options *options)
{
    struct link_connection *connection = memory_new(sizeof(*connection));
    connection->options = *options;
    connection->timer = event_loop_timer(options->loop, on_look, connection);
    connection->address = zmq_address_new(options->loop, options->endpoint, on_moved, connection);
    make_socket(connection);
    return connection;
}

void link_connection_free(struct link_connection *connection)
{
    if (!connection)
        return;
    loop_timer_free(connection->timer);
    zmq_address_free(connection->address);
    destroy_socket(connection);
    free(connection);
}

void link_connection_open(struct link_connection *connection)
{
    if (zmq_address_endpoint(connection->address) != NULL)
        connect_socket(connection);
    else
        zmq_address_look(connection->address, false);
    loop_timer_start(connection->timer, LOOK_MS);
}

bool link_connection_up(const struct link_connection *connection)
{
    return connection->up;
}

void link_connection_want(struct link_connection *connection, bool wanted)
{
    connection->wanted = wanted;
    watch(connection);
}

bool link_connection_send(const struct link_connection *connection, zmq_msg_t *frame)
{
    return zmq_msg_send(frame, zsock_resolve(connection->socket), ZMQ_DONTWAIT) >= 0;
}

bool link_connection_receive(const struct link_connection *connection, zmq_msg_t *frame)
{
    return link_monitor_receive(connection->monitor, frame);
}
