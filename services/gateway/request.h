/* One HTTP request on its way to one answer.
 *
 * `struct request` lives in libh2o's pool of the request. A route that answers later keeps its own
 * state in a block on the heap that begins with a `struct request_guard`. The route's chain of
 * operations runs to its end in any case, and the guard knows whether there is still a client to
 * answer: its `request` becomes NULL when the request was answered (by the route or by its
 * deadline) or has gone. Every function here that takes a request takes NULL too and then does
 * nothing, so that a chain never has to ask. One loop's thread only. */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "proto/trace_context.h"
#include "services/gateway/problem.h"
#include "services/loop/event_loop.h"
#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;
struct route_metrics;

#define REQUEST_ID_MAX_LEN 64

struct request {
    h2o_req_t *req;
    struct api *api;
    struct route_metrics *metrics;
    bool admin;                  /* it came in by the admin port */
    const char *operator_name;   /* who it is from; NULL where no operator is asked for */
    struct trace_context trace;  /* the client's, in which the gateway takes part, or a new one */
    struct request_guard *guard; /* of the route that answers later, or NULL */
    int64_t started_us;          /* on clock_monotonic_us() */
    bool answered;
};

/* The requests of one loop that have a guard. */
struct requests {
    h2o_linklist_t waiting; /* guards that still have to answer */
    h2o_linklist_t taking;  /* answers that are kept until their client has taken them */
    unsigned open;  /* guards not closed yet: waiting, or answered with their chain running */
    unsigned apart; /* beside these: request_guard_set_apart() */
    unsigned limit;
    struct loop_timer *sweep;
};

struct request_guard {
    struct request *request;
    struct requests *requests;
    bool apart;
    int64_t deadline_ms;                              /* on clock_monotonic_ms() */
    enum problem late;                                /* the answer when it has passed */
    void (*answer_late)(struct request_guard *guard); /* answers in its place; NULL: none does */
    struct trace_context trace;                       /* the request's */
    h2o_linklist_t link;
};

void requests_init(struct requests *requests, struct event_loop *loop, unsigned limit);
void requests_release(struct requests *requests);

/* Whether one more request with a guard would be too many. */
bool requests_full(const struct requests *requests);

/* How many have a guard that is not closed yet. */
unsigned requests_under_way(const struct requests *requests);

/* Begin a request. It is counted in `metrics` when libh2o disposes of it. */
struct request *request_new(h2o_req_t *req, struct api *api, bool admin,
                            struct route_metrics *metrics);

/* The request is answered later: by the route, or with the problem `late` when its operation, which
 * has `timeout_ms`, has not ended 0.1 to 0.2 s after its time. Returns the route's state: `size`
 * zeroed bytes, which begin with the guard. */
void *request_guard_new(struct request *request, size_t size, int64_t timeout_ms,
                        enum problem late);

/* From now on the request waits for what others do, at most until `ends_ms` (on
 * clock_monotonic_ms()); its guard answers 0.1 to 0.2 s after that. The request is no longer
 * counted among those that are limited. The route that lets requests wait limits them. */
void request_guard_set_apart(struct request_guard *guard, int64_t ends_ms);

/* The route's chain has come to its end; the request must have been answered. Frees the state. */
void request_guard_end(struct request_guard *guard);

/* Answer with a problem without detail, and end. */
void request_guard_fail(struct request_guard *guard, enum problem problem);

/* The value of a request header given exactly once. Returns how often it was given. `name` is in
 * lower case. */
size_t request_header(const struct request *request, const char *name, h2o_iovec_t *ret_value);

/* The trace that the headers of the request name, or a new one. Lives as long as the request. */
struct trace_context request_trace(h2o_req_t *req);

/* Add a header to the answer. `value` is copied and must be free of CR, LF and NUL. */
void reply_header(struct request *request, const char *name, const char *value);

/* Answer; the body is copied, and left out for HEAD. Adds X-Content-Type-Options and X-Request-Id.
 */
void reply_send(struct request *request, int status, const char *content_type, const char *body,
                size_t body_len);

/* Answer 204, and 304. */
void reply_no_content(struct request *request);
void reply_not_modified(struct request *request);

/* Answer without a copy: the body stays as it is until `release`, which is called once: when the
 * client has taken the answer, is gone, or has not taken it in time (REPLY_KEPT_MS). */
#define REPLY_KEPT_MS 30000
void reply_send_kept(struct request *request, int status, const char *content_type,
                     const char *body, size_t body_len, void (*release)(void *owner), void *owner);

/* Answer with a problem, which no cache keeps; `detail` as for problem_render(). A problem of
 * status 503 carries Retry-After. */
void reply_problem(struct request *request, enum problem problem, const char *detail);

/* As reply_problem(), with the members of the object `more`, which is freed. */
void reply_problem_with(struct request *request, enum problem problem, const char *detail,
                        json_t *more);

/* The headers that every answer carries, also the answers that libh2o makes by itself. */
void reply_common_headers(h2o_req_t *req, const struct api *api, bool admin);

/* "Not Found" */
const char *http_reason(int status);

#endif
