#include "services/worker/link_connection.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/loop/zmq_address.h"
#include <stdlib.h>

#define LOOK_MS 1000
#define REPLACE_MS 5000

struct link_connection {
    struct link_connection_options options;
    zsock_t *socket;
    zsock_t *events; /* libzmq's monitor of the socket */
    bool up, wanted;
    int64_t down_since_ms;
    struct loop_timer *timer;
    struct zmq_address *address;
};

static zmq_pollitem_t poll_item(const struct link_connection *connection)
{
    bool reads = connection->options.end == LINK_JOBS_FROM_BRIDGE;
    return (zmq_pollitem_t){.socket = link_connection_socket(connection),
                            .events = reads ? ZMQ_POLLIN : ZMQ_POLLOUT};
}

static int on_ready(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    (void)zloop;
    (void)item;
    struct link_connection *connection = arg;
    connection->options.on_ready(connection->options.arg);
    return 0;
}

static void watch(struct link_connection *connection)
{
    zmq_pollitem_t item = poll_item(connection);
    if (zloop_poller(connection->options.zloop, &item, on_ready, connection) != 0)
        abort();
    zloop_poller_set_tolerant(connection->options.zloop, &item);
}

static void unwatch(struct link_connection *connection)
{
    zmq_pollitem_t item = poll_item(connection);
    zloop_poller_end(connection->options.zloop, &item);
}

static int on_event(zloop_t *zloop, zsock_t *reader, void *arg)
{
    (void)zloop;
    struct link_connection *connection = arg;
    int value;
    bool up = link_socket_read_event(reader, &value) == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    if (up != connection->up) {
        connection->up = up;
        connection->down_since_ms = clock_monotonic_ms();
        connection->options.on_change(connection->options.arg);
    }
    return 0;
}

static void make_socket(struct link_connection *connection)
{
    connection->socket = link_socket_new(connection->options.end);
    connection->events = link_socket_monitor(connection->socket, ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                                                     ZMQ_EVENT_DISCONNECTED);
    if (zloop_reader(connection->options.zloop, connection->events, on_event, connection) != 0)
        abort();
    zloop_reader_set_tolerant(connection->options.zloop, connection->events);
    if (connection->wanted)
        watch(connection);
}

static void destroy_socket(struct link_connection *connection)
{
    if (connection->wanted)
        unwatch(connection);
    zloop_reader_end(connection->options.zloop, connection->events);
    zsock_destroy(&connection->socket);
    zsock_destroy(&connection->events);
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
    zmq_address_look(connection->address);
    if (zmq_address_endpoint(connection->address) != NULL &&
        clock_monotonic_ms() - connection->down_since_ms >= REPLACE_MS)
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
        zmq_address_look(connection->address);
    loop_timer_start(connection->timer, LOOK_MS);
}

bool link_connection_up(const struct link_connection *connection)
{
    return connection->up;
}

void link_connection_want(struct link_connection *connection, bool wanted)
{
    if (wanted == connection->wanted)
        return;
    connection->wanted = wanted;
    if (wanted)
        watch(connection);
    else
        unwatch(connection);
}

void *link_connection_socket(const struct link_connection *connection)
{
    return zsock_resolve(connection->socket);
}
