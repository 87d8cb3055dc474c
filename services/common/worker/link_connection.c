/* libzmq is given addresses only. A name it would resolve on its one thread of input and output,
 * which waits for the name service meanwhile: for 40 s and longer, when that does not answer for a
 * bridge which is not there. For so long the connections to all other bridges stand still,
 * heartbeats included.
 *
 * So a name is looked up here, now and every LOOK_MS while there is no connection. */
#include "services/common/worker/link_connection.h"
#include "services/common/clock.h"
#include "services/common/endpoint.h"
#include "services/common/memory.h"
#include "services/common/name_lookup.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000
#define REPLACE_MS 5000

struct link_connection {
    struct link_connection_options options;
    zsock_t *socket;
    zsock_t *events; /* libzmq's monitor of the socket */
    bool up, wanted;
    int64_t down_since_ms;
    struct loop_timer *timer;
    char name[ENDPOINT_SIZE];    /* empty: the endpoint has an address, or a path */
    char address[ENDPOINT_SIZE]; /* the endpoint to connect to; empty: not known yet */
    struct name_lookup *lookup;  /* while one is under way */
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
    if (zsock_connect(connection->socket, "%s", connection->address) != 0)
        abort(); /* it is well-formed */
    connection->down_since_ms = clock_monotonic_ms();
}

static void replace_socket(struct link_connection *connection)
{
    destroy_socket(connection);
    make_socket(connection);
    connect_socket(connection);
}

static bool must_be_replaced(const struct link_connection *connection)
{
    return connection->address[0] != '\0' && !connection->up &&
           clock_monotonic_ms() - connection->down_since_ms >= REPLACE_MS;
}

/* An IPv4 address: others are not for sockets without ZMQ_IPV6. */
static bool is_address(const char *host)
{
    struct in_addr address;
    return inet_pton(AF_INET, host, &address) == 1;
}

/* Returns false when the endpoint is the same as before. */
static bool take_address(struct link_connection *connection, const char *address)
{
    char endpoint[ENDPOINT_SIZE];
    int len = snprintf(endpoint, sizeof(endpoint), "tcp://%s%s", address,
                       strrchr(connection->options.endpoint, ':'));
    if (len >= (int)sizeof(endpoint) || strcmp(endpoint, connection->address) == 0)
        return false;
    strcpy(connection->address, endpoint);
    return true;
}

static void on_name(void *arg, const struct name_lookup_result *result)
{
    struct link_connection *connection = arg;
    size_t i = 0;
    while (i < result->count && !is_address(result->addresses[i]))
        i++;
    bool moved =
        !connection->up && i < result->count && take_address(connection, result->addresses[i]);
    name_lookup_free(connection->lookup);
    connection->lookup = NULL;
    if (moved || must_be_replaced(connection))
        replace_socket(connection);
}

static void look_up(struct link_connection *connection)
{
    connection->lookup =
        name_lookup_new(connection->options.loop, connection->name, on_name, connection);
}

static void on_look(void *arg)
{
    struct link_connection *connection = arg;
    loop_timer_start(connection->timer, LOOK_MS);
    if (connection->name[0] != '\0' && !connection->up && connection->lookup == NULL)
        look_up(connection);
    else if (connection->name[0] == '\0' && must_be_replaced(connection))
        replace_socket(connection);
}

/* The endpoint's name, if it has one; else it is the address. */
static void read_endpoint(struct link_connection *connection)
{
    const char *endpoint = connection->options.endpoint, *host = endpoint + strlen("tcp://");
    if (strncmp(endpoint, "tcp://", strlen("tcp://")) == 0 && *host != '[')
        (void)snprintf(connection->name, sizeof(connection->name), "%.*s",
                       (int)(strrchr(endpoint, ':') - host), host); /* it fits */
    if (connection->name[0] == '\0' || is_address(connection->name)) {
        connection->name[0] = '\0';
        (void)snprintf(connection->address, sizeof(connection->address), "%s", endpoint);
    }
}

struct link_connection *link_connection_new(const struct link_connection_options *options)
{
    struct link_connection *connection = memory_new(sizeof(*connection));
    connection->options = *options;
    connection->timer = event_loop_timer(options->loop, on_look, connection);
    read_endpoint(connection);
    make_socket(connection);
    return connection;
}

void link_connection_free(struct link_connection *connection)
{
    if (!connection)
        return;
    loop_timer_free(connection->timer);
    name_lookup_free(connection->lookup);
    destroy_socket(connection);
    free(connection);
}

void link_connection_open(struct link_connection *connection)
{
    if (connection->name[0] != '\0')
        look_up(connection);
    else
        connect_socket(connection);
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
