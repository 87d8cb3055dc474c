/* libh2o 2.2.5 has one timer for an idle connection and for a request that is being received, on
 * the wall clock; it says nothing of a connection before its request is whole; and it closes
 * sockets without lingering. So each connection has a phase here:
 *
 *   idle ──first byte──▶ receiving ──handler called──▶ answering ──answer sent──▶ idle
 *
 * The first step is seen by a hook: sock->_cb.read is libh2o's callback for a connection that it
 * reads from, and on_read() takes its place. libh2o sets its own again after each answer and after
 * "100 Continue", which it does without telling. Such a connection is in the list `unhooked`, which
 * is looked through between two turns of the loop: before that nothing can be read.
 *
 * A connection ends by libh2o's callback with an error, as if the client had closed it. That is
 * legal while libh2o reads. */
#include "services/http/http_connections.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Every connection has a buffer of this size at least. */
#define FREE_BUFFER_BYTES (2 * H2O_SOCKET_INITIAL_INPUT_BUFFER_SIZE)
#define IDLE_LOOKED_AT 16 /* at most, to make place for a connection */

enum http_phase { HTTP_IDLE, HTTP_RECEIVING, HTTP_ANSWERING };

/* Why a connection ends before a request of it is handled. */
enum http_ending { HTTP_LATE, HTTP_OVERLOADED, HTTP_ENDINGS };

/* sock->on_close.data */
struct http_connection {
    struct http_connections *all;
    h2o_socket_t *sock;
    enum http_phase phase;
    int64_t since_ms;
    h2o_linklist_t phase_link;    /* in `idle` or `receiving` */
    h2o_linklist_t unhooked_link; /* in `unhooked` */
    uint64_t served_turn;         /* http_turns_serve() */
    size_t budgeted_bytes;        /* of options.bodies */
    int lingering_fd; /* the same socket, for the time after libh2o has closed its own; -1: none */
};

struct http_connections {
    struct http_connections_options options;
    struct http_lingering *lingering;
    struct metric_counter *endings[HTTP_ENDINGS];
    h2o_socket_cb libh2o_read;
    unsigned count;
    bool draining;
    h2o_linklist_t idle, receiving; /* the longest in this phase first */
    h2o_linklist_t unhooked;
    struct http_connection *reading; /* whose input libh2o is given now; NULL once it has ended */
};

unsigned http_connections_count(const struct http_connections *connections)
{
    return connections->count;
}

static struct http_connection *connection_of(const h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

/* ---- phases ---- */

static void unlink_from(h2o_linklist_t *link)
{
    if (h2o_linklist_is_linked(link))
        h2o_linklist_unlink(link);
}

static void set_phase(struct http_connection *connection, enum http_phase phase)
{
    connection->phase = phase;
    unlink_from(&connection->phase_link);
    switch (phase) {
    case HTTP_IDLE:
    case HTTP_RECEIVING:
        connection->since_ms = clock_monotonic_ms();
        h2o_linklist_insert(phase == HTTP_IDLE ? &connection->all->idle
                                               : &connection->all->receiving,
                            &connection->phase_link);
        break;
    case HTTP_ANSWERING:
        break;
    }
}

/* One empty line may come before a request (RFC 9112, 2.2). */
static bool has_begun(const h2o_buffer_t *input)
{
    size_t empty = 0;
    if (empty < input->size && input->bytes[empty] == '\r')
        empty++;
    if (empty < input->size && input->bytes[empty] == '\n')
        empty++;
    return input->size > empty;
}

/* ---- the budget ---- */

/* Returns false when the buffer is larger than the budget allows. */
static bool budget_input(struct http_connection *connection)
{
    struct byte_budget *bodies = connection->all->options.bodies;
    size_t capacity = connection->sock->input->capacity;
    size_t wanted = capacity > FREE_BUFFER_BYTES ? capacity : 0;
    if (bodies == NULL || wanted == connection->budgeted_bytes)
        return true;
    if (wanted < connection->budgeted_bytes)
        byte_budget_return(bodies, connection->budgeted_bytes - wanted);
    else if (!byte_budget_take(bodies, wanted - connection->budgeted_bytes))
        return false;
    connection->budgeted_bytes = wanted;
    return true;
}

/* ---- the end of a connection ---- */

static void linger_later(struct http_connection *connection)
{
    if (connection->lingering_fd == -1) /* out of descriptors: it does not linger */
        connection->lingering_fd = fcntl(h2o_socket_get_fd(connection->sock), F_DUPFD_CLOEXEC, 0);
}

static void linger_no_more(struct http_connection *connection)
{
    if (connection->lingering_fd != -1)
        (void)close(connection->lingering_fd);
    connection->lingering_fd = -1;
}

static void on_close(void *arg)
{
    struct http_connection *connection = arg;
    struct http_connections *all = connection->all;
    unlink_from(&connection->phase_link);
    unlink_from(&connection->unhooked_link);
    if (connection->budgeted_bytes > 0)
        byte_budget_return(all->options.bodies, connection->budgeted_bytes);
    if (connection->lingering_fd != -1)
        http_lingering_add(all->lingering, connection->lingering_fd);
    if (all->reading == connection)
        all->reading = NULL;
    all->count--;
    free(connection);
}

static int unread_bytes(const struct http_connection *connection)
{
    int bytes = 0;
    (void)ioctl(h2o_socket_get_fd(connection->sock), FIONREAD, &bytes);
    return bytes;
}

/* Not when a request is there that only has to be read. Returns whether it has ended. */
static bool end_idle(struct http_connection *connection)
{
    if (unread_bytes(connection) > 0)
        return false;
    connection->all->libh2o_read(connection->sock, "idle");
    return true;
}

static void send_ending(h2o_socket_t *sock, enum http_ending ending)
{
    static const h2o_iovec_t answers[] = {
        [HTTP_LATE] = {H2O_STRLIT("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                                  "Content-Length: 0\r\n\r\n")},
        [HTTP_OVERLOADED] = {H2O_STRLIT("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                                        "Retry-After: 1\r\nContent-Length: 0\r\n\r\n")},
    };
    (void)!send(h2o_socket_get_fd(sock), answers[ending].base, answers[ending].len,
                MSG_DONTWAIT | MSG_NOSIGNAL); /* a courtesy */
}

/* No answer is under way: the earlier ones were given to the kernel before this request was read.
 */
static void end_receiving(struct http_connection *connection, enum http_ending ending)
{
    metric_add(connection->all->endings[ending], 1);
    send_ending(connection->sock, ending);
    linger_later(connection);
    connection->all->libh2o_read(connection->sock, "ended");
}

void http_connections_refuse(struct http_connections *connections, h2o_socket_t *sock)
{
    metric_add(connections->endings[HTTP_OVERLOADED], 1);
    send_ending(sock, HTTP_OVERLOADED);
    int lingering_fd = fcntl(h2o_socket_get_fd(sock), F_DUPFD_CLOEXEC, 0);
    h2o_socket_close(sock);
    if (lingering_fd != -1)
        http_lingering_add(connections->lingering, lingering_fd);
}

/* ---- reading ---- */

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct http_connection *connection = sock->on_close.data;
    struct http_connections *all = connection->all;
    if (err == NULL && connection->phase == HTTP_IDLE && has_begun(sock->input))
        set_phase(connection, HTTP_RECEIVING);
    if (err == NULL && !budget_input(connection)) {
        end_receiving(connection, HTTP_OVERLOADED);
        return;
    }
    all->reading = connection;
    all->libh2o_read(sock, err);
    if (all->reading == NULL)
        return; /* it has ended */
    all->reading = NULL;
    if (connection->phase != HTTP_ANSWERING && !h2o_socket_is_reading(sock)) {
        /* libh2o answers by itself and closes, or it writes "100 Continue" and reads on. */
        linger_later(connection);
        if (!h2o_linklist_is_linked(&connection->unhooked_link))
            h2o_linklist_insert(&all->unhooked, &connection->unhooked_link);
    }
}

static void hook(struct http_connection *connection)
{
    h2o_linklist_unlink(&connection->unhooked_link);
    connection->sock->_cb.read = on_read;
    linger_no_more(connection);
    if (connection->phase == HTTP_ANSWERING)
        set_phase(connection, has_begun(connection->sock->input) ? HTTP_RECEIVING : HTTP_IDLE);
    (void)budget_input(connection); /* it has become smaller, if anything */
}

void http_connections_turn(struct http_connections *connections)
{
    h2o_linklist_t *next, *node = connections->unhooked.next;
    for (; node != &connections->unhooked; node = next) {
        next = node->next;
        struct http_connection *connection =
            H2O_STRUCT_FROM_MEMBER(struct http_connection, unhooked_link, node);
        if (h2o_socket_is_reading(connection->sock))
            hook(connection);
    }
}

void http_connections_add(struct http_connections *connections, h2o_accept_ctx_t *accept,
                          h2o_socket_t *sock)
{
    struct http_connection *connection = memory_new(sizeof(*connection));
    connection->all = connections;
    connection->sock = sock;
    connection->lingering_fd = -1;
    connections->count++;
    sock->on_close.cb = on_close;
    sock->on_close.data = connection;
    set_phase(connection, HTTP_IDLE);
    h2o_accept(accept, sock);
    connections->libh2o_read = sock->_cb.read; /* the same for all */
    sock->_cb.read = on_read;
}

/* ---- requests ---- */

/* In the request's pool, so told of its end. */
struct request_end {
    struct http_connection *connection;
    const h2o_req_t *req;
    bool client_persists; /* it may send on after the answer */
    bool more;            /* bytes of the next request have been read, too */
};

/* While a request is answered, its bytes must stay where they are, so nothing more is read. The
 * socket stays in libh2o's epoll set nevertheless: leaving and joining the set would cost two
 * system calls a request. Only a socket that has something to say before its answer leaves the set.
 */
static void on_early(h2o_socket_t *sock, const char *err)
{
    (void)err; /* set only by reading */
    h2o_socket_read_stop(sock);
}

static void read_later(h2o_socket_t *sock)
{
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_early);
}

/* libh2o disposes of the request before it closes the connection or reads the next one. */
static void on_request_end(void *arg)
{
    const struct request_end *end = arg;
    struct http_connection *connection = end->connection;
    bool persists = end->req->http1_is_persistent;
    h2o_socket_dont_read(connection->sock, 0);
    if (persists)
        h2o_linklist_insert(&connection->all->unhooked, &connection->unhooked_link);
    /* libh2o may answer the next request by itself and close, all before the next turn. */
    if (persists
            ? end->more
            : end->client_persists || connection->all->draining || unread_bytes(connection) > 0)
        linger_later(connection);
}

/* libh2o does not look at the error of a write: it goes on with the requests that it has read. */
static bool has_left(const struct http_connection *connection)
{
    struct pollfd pollfd = {.fd = h2o_socket_get_fd(connection->sock)};
    return poll(&pollfd, 1, 0) == 1; /* not when it has only said that it sends no more */
}

uint64_t *http_connections_begin_request(h2o_req_t *req, size_t len)
{
    struct http_connection *connection = connection_of(req);
    bool was_buffered = connection->phase == HTTP_ANSWERING;
    struct request_end *end = h2o_mem_alloc_shared(&req->pool, sizeof(*end), on_request_end);
    *end = (struct request_end){
        .connection = connection,
        .req = req,
        .client_persists = req->http1_is_persistent,
        .more = connection->sock->input->size > len,
    };
    unlink_from(&connection->unhooked_link);
    linger_no_more(connection);
    set_phase(connection, HTTP_ANSWERING);
    read_later(connection->sock);
    return was_buffered && has_left(connection) ? NULL : &connection->served_turn;
}

/* ---- the end of many ---- */

void http_connections_expire(struct http_connections *connections)
{
    int64_t now_ms = clock_monotonic_ms();
    h2o_linklist_t *next, *node = connections->idle.next;
    for (; node != &connections->idle; node = next) {
        next = node->next;
        struct http_connection *connection =
            H2O_STRUCT_FROM_MEMBER(struct http_connection, phase_link, node);
        if (now_ms - connection->since_ms < connections->options.keepalive_ms)
            break;
        (void)end_idle(connection);
    }
    for (node = connections->receiving.next; node != &connections->receiving; node = next) {
        next = node->next;
        struct http_connection *connection =
            H2O_STRUCT_FROM_MEMBER(struct http_connection, phase_link, node);
        if (now_ms - connection->since_ms < connections->options.request_timeout_ms)
            break;
        if (h2o_socket_is_reading(connection->sock))
            end_receiving(connection, HTTP_LATE);
    }
}

bool http_connections_make_place(struct http_connections *connections)
{
    h2o_linklist_t *node = connections->idle.next;
    for (unsigned i = 0; i < IDLE_LOOKED_AT && node != &connections->idle; i++, node = node->next)
        if (end_idle(H2O_STRUCT_FROM_MEMBER(struct http_connection, phase_link, node)))
            return true;
    if (!connections->options.ends_slow)
        return false;
    for (node = connections->receiving.next; node != &connections->receiving; node = node->next) {
        struct http_connection *connection =
            H2O_STRUCT_FROM_MEMBER(struct http_connection, phase_link, node);
        if (h2o_socket_is_reading(connection->sock)) {
            end_receiving(connection, HTTP_OVERLOADED);
            return true;
        }
    }
    return false;
}

static int set_last_answer(h2o_req_t *req, void *arg)
{
    (void)arg;
    /* Where the answer's head has been sent, it said "keep-alive": the client may send on. */
    if (req->timestamps.response_start_at.tv_sec == 0)
        req->http1_is_persistent = 0;
    return 0;
}

void http_connections_last_answers(struct http_connections *connections, h2o_context_t *context)
{
    connections->draining = true;
    h2o_context_request_shutdown(context); /* for the requests to come */
    context->globalconf->http1.callbacks.foreach_request(context, set_last_answer, NULL);
}

void http_connections_end_idle(struct http_connections *connections)
{
    connections->options.keepalive_ms = 0;
    http_connections_expire(connections);
}

/* ---- life ---- */

struct http_connections *http_connections_new(const struct http_connections_options *options,
                                              struct http_lingering *lingering)
{
    struct http_connections *connections = memory_new(sizeof(*connections));
    connections->options = *options;
    connections->lingering = lingering;
    static const char *const labels[] = {
        [HTTP_LATE] = "reason=\"late\"", [HTTP_OVERLOADED] = "reason=\"overloaded\""};
    for (size_t i = 0; i < HTTP_ENDINGS; i++)
        connections->endings[i] =
            metric_counter("http_connections_ended_total", labels[i],
                           "Connections ended before a request of theirs was handled");
    h2o_linklist_init_anchor(&connections->idle);
    h2o_linklist_init_anchor(&connections->receiving);
    h2o_linklist_init_anchor(&connections->unhooked);
    return connections;
}

void http_connections_free(struct http_connections *connections)
{
    assert(connections->count == 0);
    free(connections);
}
