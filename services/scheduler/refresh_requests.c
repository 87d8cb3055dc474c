#include "services/scheduler/refresh_requests.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <stdio.h>
#include <string.h>

#define ROUTING_ID_MAX_BYTES 255 /* ZMQ_ROUTING_ID, zmq_setsockopt(3) */
#define REQUESTS_QUEUED 1000     /* of each asker, unread */
#define READ_AT_ONCE 100         /* then let the loop turn */
#define KEEP_ALIVE_MS 1000
#define WAIT_MAX_MS 600000 /* two refreshes; the asker gives up a little later */
#define HEARTBEAT_MS 1000
#define HEARTBEAT_TIMEOUT_MS 3000
#define LINGER_MS 500

/* Answers to each asker that wait for its connection. As many as 1000 requests of one asker may get
 * all at once (PROTOCOL.md): accepted, waiting and final, and twice that, because libzmq counts
 * what has left the queue by the half of this number. What finds the queue full is lost. */
#define ANSWERS_QUEUED 6000

struct asker {
    struct asker *next;
    uint64_t request_id;
    uint64_t attempt;
    int64_t expires_at_ms;
    size_t routing_id_len;
    uint8_t routing_id[ROUTING_ID_MAX_BYTES];
};

struct refresh_requests {
    struct loop_watch *watch;
    zsock_t *socket;
    struct loop_timer *keep_alive;
    refresh_requested_fn *on_request;
    void *arg;
    bool closed;
    struct asker *askers;
    size_t count;
    struct metric_counter *received, *dropped;
    struct metric_gauge *waiting;
};

/* False when the asker is gone. One that does not read its answers is left to its own deadline. */
static bool send_answer(struct refresh_requests *requests, const struct asker *asker,
                        enum refresh_state state, const char *detail)
{
    struct refresh_answer answer = {.request_id = asker->request_id, .state = state};
    snprintf(answer.detail, sizeof answer.detail, "%s", detail);
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    size_t len = refresh_answer_encode(&answer, message);
    void *socket = zsock_resolve(requests->socket);
    if (zmq_send(socket, asker->routing_id, asker->routing_id_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return errno != EHOSTUNREACH;
    (void)zmq_send(socket, message, len, ZMQ_DONTWAIT); /* goes where its head has gone */
    return true;
}

static void forget(struct refresh_requests *requests, struct asker **at)
{
    struct asker *asker = *at;
    *at = asker->next;
    free(asker);
    requests->count--;
    metric_set(requests->waiting, (double)requests->count);
}

static void accept_request(struct refresh_requests *requests, const struct asker *from)
{
    metric_add(requests->received, 1);
    if (requests->closed || requests->count == REFRESH_REQUESTS_MAX) {
        (void)send_answer(requests, from, REFRESH_ANSWER_DECLINED, ""); /* gone: as well */
        return;
    }
    if (!send_answer(requests, from, REFRESH_ANSWER_ACCEPTED, ""))
        return;
    struct asker *asker = memory_new(sizeof *asker);
    *asker = *from;
    asker->attempt = requests->on_request(requests->arg);
    asker->expires_at_ms = clock_monotonic_ms() + WAIT_MAX_MS;
    asker->next = requests->askers;
    requests->askers = asker;
    requests->count++;
    metric_set(requests->waiting, (double)requests->count);
}

/* One message: a routing id and one frame. False when there was none. */
static bool read_message(struct refresh_requests *requests)
{
    void *socket = zsock_resolve(requests->socket);
    struct asker from;
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    struct error reason = {"not one frame of a request's size"};

    int id_len = zmq_recv(socket, from.routing_id, sizeof from.routing_id, ZMQ_DONTWAIT);
    if (id_len < 0)
        return false;
    from.routing_id_len = (size_t)id_len;
    int len = -1;
    if (zsock_rcvmore(requests->socket) != 0)
        len = zmq_recv(socket, message, sizeof message, ZMQ_DONTWAIT);
    bool single = len >= 0 && zsock_rcvmore(requests->socket) == 0;
    while (zsock_rcvmore(requests->socket) != 0 && zmq_recv(socket, NULL, 0, ZMQ_DONTWAIT) >= 0)
        continue;

    if (single && (size_t)len <= sizeof message && from.routing_id_len <= sizeof from.routing_id &&
        refresh_request_decode(message, (size_t)len, &from.request_id, &reason) == 0) {
        accept_request(requests, &from);
    } else {
        static struct log_limit limit;
        metric_add(requests->dropped, 1);
        log_limited(&limit, LOG_LEVEL_WARN, "message dropped",
                    (const struct log_field[]){log_text("reason", reason.message), {0}});
    }
    return true;
}

static void on_readable(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    for (int i = 0; i < READ_AT_ONCE && read_message(arg); i++)
        continue;
}

static void on_keep_alive(void *arg)
{
    struct refresh_requests *requests = arg;
    int64_t now_ms = clock_monotonic_ms();
    for (struct asker **at = &requests->askers; *at != NULL;) {
        bool expired = now_ms >= (*at)->expires_at_ms;
        bool there =
            send_answer(requests, *at, expired ? REFRESH_ANSWER_FAILED : REFRESH_ANSWER_WAITING,
                        expired ? "no refresh came about in time" : "");
        if (expired || !there)
            forget(requests, at);
        else
            at = &(*at)->next;
    }
    loop_timer_start(requests->keep_alive, KEEP_ALIVE_MS);
}

struct refresh_requests *refresh_requests_new(struct event_loop *loop, const char *endpoint,
                                              refresh_requested_fn *on_request, void *arg,
                                              struct error *err)
{
    zsock_t *socket = zsock_new(ZMQ_ROUTER);
    if (socket == NULL)
        abort(); /* out of memory, or of sockets */
    zsock_set_maxmsgsize(socket, REFRESH_MESSAGE_MAX_BYTES);
    zsock_set_sndhwm(socket, ANSWERS_QUEUED);
    zsock_set_rcvhwm(socket, REQUESTS_QUEUED);
    zsock_set_router_mandatory(socket, 1); /* tells when an asker is gone */
    zsock_set_linger(socket, LINGER_MS);
    zsock_set_heartbeat_ivl(socket, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(socket, HEARTBEAT_TIMEOUT_MS);
    zsock_set_heartbeat_ttl(socket, HEARTBEAT_TIMEOUT_MS);
    if (zsock_bind(socket, "%s", endpoint) == -1) {
        error_set(err, "SCHEDULER_BIND: %s", zmq_strerror(zmq_errno()));
        zsock_destroy(&socket);
        return NULL;
    }

    struct refresh_requests *requests = memory_new(sizeof *requests);
    requests->socket = socket;
    requests->on_request = on_request;
    requests->arg = arg;
    requests->received =
        metric_counter("scheduler_requests_total", NULL, "Requests for a refresh received");
    requests->waiting =
        metric_gauge("scheduler_requests_waiting", NULL, "Requests that wait for a refresh");
    requests->dropped = metric_counter("scheduler_messages_dropped_total", NULL,
                                       "Messages that were no valid request");
    requests->keep_alive = event_loop_timer(loop, on_keep_alive, requests);
    loop_timer_start(requests->keep_alive, KEEP_ALIVE_MS);
    requests->watch = event_loop_watch_zmq(loop, socket, on_readable, requests);
    loop_watch_want(requests->watch, true, false);
    return requests;
}

void refresh_requests_free(struct refresh_requests *requests)
{
    if (requests == NULL)
        return;
    loop_watch_free(requests->watch);
    zsock_destroy(&requests->socket);
    loop_timer_free(requests->keep_alive);
    while (requests->askers != NULL)
        forget(requests, &requests->askers);
    free(requests);
}

size_t refresh_requests_waiting(const struct refresh_requests *requests)
{
    return requests->count;
}

void refresh_requests_answer(struct refresh_requests *requests, uint64_t last,
                             enum refresh_state state, const char *detail)
{
    for (struct asker **at = &requests->askers; *at != NULL;) {
        if ((*at)->attempt > last) {
            at = &(*at)->next;
            continue;
        }
        (void)send_answer(requests, *at, state, detail); /* gone: as well */
        forget(requests, at);
    }
}

void refresh_requests_close(struct refresh_requests *requests)
{
    requests->closed = true;
}
