/* libh2o handles the next request of a connection as soon as the last one's answer is written, in
 * the same turn of its loop. A client that sends thousands of requests at once would keep the loop
 * to itself. Here a second request in one turn waits in a queue, and the queue is served between
 * the turns. (libh2o's own zero timeouts do not help: they run again within the turn.) */
#include "services/http/http_turns.h"
#include "services/base/clock.h"

/* The queue's part of a turn. Other connections and the servers' answers wait meanwhile. */
#define QUEUE_TURN_US 5000

/* A request that waits for the next turn. In the request's pool, so gone with it. */
struct waiting_request {
    h2o_linklist_t link;
    uint64_t *served_turn;
    h2o_req_t *req;
    enum request_head_fault fault;
};

static void on_waiting_gone(void *arg)
{
    struct waiting_request *waiting = arg;
    if (h2o_linklist_is_linked(&waiting->link))
        h2o_linklist_unlink(&waiting->link);
}

static void handle(struct http_turns *turns, uint64_t *served_turn, h2o_req_t *req,
                   enum request_head_fault fault)
{
    *served_turn = turns->turn;
    turns->handle(turns->arg, req, fault);
}

void http_turns_serve(struct http_turns *turns, uint64_t *served_turn, h2o_req_t *req,
                      enum request_head_fault fault)
{
    if (*served_turn != turns->turn) {
        handle(turns, served_turn, req, fault);
        return;
    }
    struct waiting_request *waiting =
        h2o_mem_alloc_shared(&req->pool, sizeof(*waiting), on_waiting_gone);
    *waiting = (struct waiting_request){.served_turn = served_turn, .req = req, .fault = fault};
    h2o_linklist_insert(&turns->queue, &waiting->link);
}

int32_t http_turns_begin(struct http_turns *turns, int32_t wait_ms)
{
    turns->turn++;
    if (h2o_linklist_is_empty(&turns->queue))
        return wait_ms;
    int64_t end_us = clock_monotonic_us() + QUEUE_TURN_US;
    do {
        struct waiting_request *waiting =
            H2O_STRUCT_FROM_MEMBER(struct waiting_request, link, turns->queue.next);
        h2o_linklist_unlink(&waiting->link);
        handle(turns, waiting->served_turn, waiting->req, waiting->fault);
    } while (!h2o_linklist_is_empty(&turns->queue) && clock_monotonic_us() < end_us);
    return 0; /* the answers are written when libh2o's loop runs */
}

void http_turns_init(struct http_turns *turns, http_handle_fn *handle_fn, void *arg)
{
    *turns = (struct http_turns){.handle = handle_fn, .arg = arg};
    h2o_linklist_init_anchor(&turns->queue);
}
