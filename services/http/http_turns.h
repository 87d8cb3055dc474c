/* Turns: in each turn of the loop a connection has one request handled, however many it has sent at
 * once. One thread. */
#ifndef HTTP_TURNS_H
#define HTTP_TURNS_H

#include "services/http/request_head.h"
#include <h2o.h>
#include <stdint.h>

/* Answers a request, now or later; as http_server_options.handle. */
typedef void http_handle_fn(void *arg, h2o_req_t *req, enum request_head_fault fault);

struct http_turns {
    http_handle_fn *handle;
    void *arg;
    uint64_t turn;
    h2o_linklist_t queue; /* struct waiting_request, at most one of a connection */
};

void http_turns_init(struct http_turns *turns, http_handle_fn *handle, void *arg);

/* Handle a request, or put it off when its connection has had its turn. `served_turn` is the
 * connection's: the turn in which its last request was handled, 0 at first. */
void http_turns_serve(struct http_turns *turns, uint64_t *served_turn, h2o_req_t *req,
                      enum request_head_fault fault);

/* Begin a turn: handle what was put off. Returns as http_server_turn(). */
int32_t http_turns_begin(struct http_turns *turns, int32_t wait_ms);

#endif
