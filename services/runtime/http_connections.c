/* libh2o handles the next request of a connection as soon as the last one's answer is written, in
 * the same turn of its loop. A client that sends thousands of requests at once would keep the loop
 * to itself. Here a second request in one turn waits in a queue, and the queue is served between
 * the turns. (libh2o's own zero timeouts do not help: they run again within the turn.) */
#include "services/runtime/http_connections.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>

/* The queue's part of a turn. Other connections and the servers' answers wait meanwhile. */
#define QUEUE_TURN_US 5000

struct http_connections {
    http_handle_fn *handle;
    void *arg;
    unsigned count;
    uint64_t turn;
    h2o_linklist_t queue; /* struct waiting_request, one of a connection */
};

/* sock->on_close.data */
struct http_connection {
    struct http_connections *all;
    uint64_t served_turn; /* in which its last request was handled */
};

/* A request that waits for the next turn. In the request's pool, so gone with it. */
struct waiting_request {
    h2o_linklist_t link;
    h2o_req_t *req;
    enum request_head_fault fault;
};

unsigned http_connections_count(const struct http_connections *connections)
{
    return connections->count;
}

static void on_close(void *arg)
{
    struct http_connection *connection = arg;
    connection->all->count--;
    free(connection);
}

void http_connections_add(struct http_connections *connections, h2o_accept_ctx_t *accept,
                          h2o_socket_t *sock)
{
    struct http_connection *connection = memory_new(sizeof(*connection));
    connection->all = connections;
    connections->count++;
    sock->on_close.cb = on_close;
    sock->on_close.data = connection;
    h2o_accept(accept, sock);
}

/* ---- turns ---- */

static void on_waiting_gone(void *arg)
{
    struct waiting_request *waiting = arg;
    if (h2o_linklist_is_linked(&waiting->link))
        h2o_linklist_unlink(&waiting->link);
}

static void put_off(struct http_connections *connections, h2o_req_t *req,
                    enum request_head_fault fault)
{
    struct waiting_request *waiting =
        h2o_mem_alloc_shared(&req->pool, sizeof(*waiting), on_waiting_gone);
    *waiting = (struct waiting_request){.req = req, .fault = fault};
    h2o_linklist_insert(&connections->queue, &waiting->link);
}

static void handle(struct http_connections *connections, h2o_req_t *req,
                   enum request_head_fault fault)
{
    struct http_connection *connection = req->conn->callbacks->get_socket(req->conn)->on_close.data;
    connection->served_turn = connections->turn;
    connections->handle(connections->arg, req, fault);
}

void http_connections_serve(struct http_connections *connections, h2o_req_t *req,
                            enum request_head_fault fault)
{
    const struct http_connection *connection =
        req->conn->callbacks->get_socket(req->conn)->on_close.data;
    if (connection->served_turn == connections->turn)
        put_off(connections, req, fault);
    else
        handle(connections, req, fault);
}

int32_t http_connections_turn(struct http_connections *connections, int32_t wait_ms)
{
    connections->turn++;
    if (h2o_linklist_is_empty(&connections->queue))
        return wait_ms;
    int64_t end_us = clock_monotonic_us() + QUEUE_TURN_US;
    do {
        struct waiting_request *waiting =
            H2O_STRUCT_FROM_MEMBER(struct waiting_request, link, connections->queue.next);
        h2o_linklist_unlink(&waiting->link);
        handle(connections, waiting->req, waiting->fault);
    } while (!h2o_linklist_is_empty(&connections->queue) && clock_monotonic_us() < end_us);
    return 0;
}

/* ---- life ---- */

struct http_connections *http_connections_new(http_handle_fn *handle_fn, void *arg)
{
    struct http_connections *connections = memory_new(sizeof(*connections));
    connections->handle = handle_fn;
    connections->arg = arg;
    h2o_linklist_init_anchor(&connections->queue);
    return connections;
}

void http_connections_free(struct http_connections *connections)
{
    assert(connections->count == 0);
    free(connections);
}
