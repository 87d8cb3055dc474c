/* The gate is the process's ZAP handler (RFC 27): libzmq asks it about each client that has proved
 * in CURVE's handshake to have some key. Others do not get so far; libzmq's events tell of them.
 *
 * When accept() fails because descriptors have run out, libzmq tries again at once and for ever,
 * because the connection goes on waiting. So the gate keeps some descriptors in reserve. It gives
 * up one, libzmq accepts the connection with it, and the gate shuts that down, which makes libzmq
 * close it. Once accepting has not failed for REST_MS, the gate takes the descriptors again. */
#include "services/bridge/gate.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define REQUESTS_PER_WAKE 64 /* then the rest of the loop has its turn */
#define RESERVE 4            /* others may catch one that was given up for libzmq */
#define REST_MS 100

enum refusal { REFUSAL_KEY, REFUSAL_PROTOCOL, REFUSAL_HANDSHAKE, REFUSAL_DESCRIPTORS, REFUSALS };

struct gate {
    const struct link_key *key;
    zsock_t *zap; /* REP: one request, one reply, in turn */
    struct loop_watch *zap_watch;
    struct loop_timer *rest; /* runs while descriptors are short */
    int reserve[RESERVE];
    size_t reserved;
    bool failed; /* accepting has, since the timer was started */
    bool given;  /* a descriptor, that no accepted connection has yet */
    struct metric_counter *refused[REFUSALS];
};

static void refuse(struct gate *gate, enum refusal why, const char *address)
{
    static const char *const texts[REFUSALS] = {
        [REFUSAL_KEY] = "it has another key",
        [REFUSAL_PROTOCOL] = "it does not speak as a member does: no key, or none of this bridge's",
        [REFUSAL_HANDSHAKE] = "it did not finish the handshake",
        [REFUSAL_DESCRIPTORS] = "file descriptors are short",
    };
    static struct log_limit limits[REFUSALS] = {
        {.period_ms = 60000}, {.period_ms = 60000}, {.period_ms = 60000}, {.period_ms = 60000}};
    metric_add(gate->refused[why], 1);
    log_warn_limited(&limits[why], "refused a connection to the workers' ports",
                     log_text("reason", texts[why]), log_text("address", address));
}

/* ---- ZAP ---- */

static bool frame_is(zframe_t *frame, const void *bytes, size_t len)
{
    return frame != NULL && zframe_size(frame) == len &&
           memcmp(zframe_data(frame), bytes, len) == 0;
}

/* The request: version, id, domain, address, identity, mechanism, and CURVE's public key. */
static bool is_member(const struct gate *gate, zmsg_t *request, zframe_t **ret_id, char address[64])
{
    zframe_t *version = zmsg_first(request);
    *ret_id = zmsg_next(request);
    zframe_t *domain = zmsg_next(request), *from = zmsg_next(request);
    (void)zmsg_next(request);
    zframe_t *mechanism = zmsg_next(request), *key = zmsg_next(request);
    (void)snprintf(address, 64, "%.*s", from ? (int)zframe_size(from) : 0,
                   from ? (const char *)zframe_data(from) : ""); /* cut to fit */
    return frame_is(version, "1.0", 3) &&
           frame_is(domain, LINK_KEY_ZAP_DOMAIN, strlen(LINK_KEY_ZAP_DOMAIN)) &&
           frame_is(mechanism, "CURVE", 5) &&
           frame_is(key, gate->key->public_bytes, sizeof gate->key->public_bytes);
}

/* libzmq waits for an answer to each request, however malformed. The status 300 would make the
 * client try again without a word. */
static void judge(struct gate *gate, zmsg_t *request)
{
    zframe_t *id;
    char address[64];
    bool member = is_member(gate, request, &id, address);
    zmsg_t *reply = zmsg_new();
    if (reply == NULL)
        abort();
    if (zmsg_addstr(reply, "1.0") != 0 ||
        zmsg_addmem(reply, id ? zframe_data(id) : NULL, id ? zframe_size(id) : 0) != 0 ||
        zmsg_addstr(reply, member ? "200" : "400") != 0 ||
        zmsg_addstr(reply, member ? "OK" : "No member") != 0 ||
        zmsg_addstr(reply, "") != 0 /* user */ || zmsg_addmem(reply, NULL, 0) != 0 /* metadata */)
        abort();
    (void)zmsg_send(&reply, gate->zap); /* it fails only when the client is gone */
    zmsg_destroy(&reply);
    if (!member)
        refuse(gate, REFUSAL_KEY, address);
}

static void on_request(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct gate *gate = arg;
    for (unsigned i = 0; i < REQUESTS_PER_WAKE; i++) {
        if ((zsock_events(gate->zap) & ZMQ_POLLIN) == 0)
            return;
        zmsg_t *request = zmsg_recv(gate->zap);
        if (request == NULL)
            return;
        judge(gate, request);
        zmsg_destroy(&request);
    }
}

/* ---- descriptors ---- */

static void fill_reserve(struct gate *gate)
{
    int fd;
    while (gate->reserved < RESERVE && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        gate->reserve[gate->reserved++] = fd;
}

static void on_rest(void *arg)
{
    struct gate *gate = arg;
    bool failed = gate->failed;
    gate->failed = gate->given = false;
    if (!failed)
        fill_reserve(gate);
    if (failed || gate->reserved < RESERVE)
        loop_timer_start(gate->rest, REST_MS);
}

static void give_descriptor(struct gate *gate)
{
    gate->failed = true;
    if (!loop_timer_running(gate->rest))
        loop_timer_start(gate->rest, REST_MS);
    if (gate->given || gate->reserved == 0)
        return;
    gate->given = true;
    (void)close(gate->reserve[--gate->reserved]);
}

static void on_accepted(struct gate *gate, struct gate_port *port, int fd)
{
    port->half_open++;
    if (!loop_timer_running(gate->rest))
        return;
    port->shut++;
    gate->given = false;
    (void)shutdown(fd, SHUT_RDWR); /* ENOTSOCK or EBADF: libzmq has closed it already */
    refuse(gate, REFUSAL_DESCRIPTORS, "unknown");
}

/* ---- news ---- */

static void end_handshake(struct gate_port *port)
{
    if (port->half_open > 0)
        port->half_open--;
}

static void on_failure(struct gate *gate, struct gate_port *port, enum refusal why)
{
    end_handshake(port);
    port->failed = true;
    if (port->shut > 0)
        port->shut--; /* counted then */
    else
        refuse(gate, why, "unknown");
}

/* libzmq does not say whether this one had done its handshake. Of peers that do not speak ZMTP, or
 * a version without CURVE, it says nothing else. */
static void on_disconnected(struct gate *gate, struct gate_port *port)
{
    if (!port->failed && port->half_open > 0)
        on_failure(gate, port, REFUSAL_PROTOCOL);
    port->failed = false;
}

void gate_event(struct gate *gate, struct gate_port *port, int event, int value)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        on_accepted(gate, port, value);
        break;
    case ZMQ_EVENT_ACCEPT_FAILED:
        if (value == EMFILE || value == ENFILE)
            give_descriptor(gate);
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: /* counted when it was judged; it ends later */
        end_handshake(port);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        on_failure(gate, port, REFUSAL_PROTOCOL);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        on_failure(gate, port, REFUSAL_HANDSHAKE);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        on_disconnected(gate, port);
        break;
    default:
        break;
    }
}

/* ---- life ---- */

const struct link_key *gate_key(const struct gate *gate)
{
    return gate->key;
}

static void register_metrics(struct gate *gate)
{
    static const char *const labels[REFUSALS] = {
        [REFUSAL_KEY] = "reason=\"key\"",
        [REFUSAL_PROTOCOL] = "reason=\"protocol\"",
        [REFUSAL_HANDSHAKE] = "reason=\"handshake\"",
        [REFUSAL_DESCRIPTORS] = "reason=\"descriptors\"",
    };
    for (size_t i = 0; i < REFUSALS; i++)
        gate->refused[i] = metric_counter("bridge_refused_connections_total", labels[i],
                                          "Connections to the workers' ports that were refused.");
}

struct gate *gate_new(struct event_loop *loop, const struct link_key *key, struct error *err)
{
    struct gate *gate = memory_new(sizeof *gate);
    gate->key = key;
    register_metrics(gate);
    fill_reserve(gate);
    gate->rest = event_loop_timer(loop, on_rest, gate);
    if (key == NULL)
        return gate;
    gate->zap = zsock_new(ZMQ_REP);
    if (gate->zap == NULL)
        abort();
    if (zsock_bind(gate->zap, "%s", ZAP_ENDPOINT) != 0) {
        error_set(err, "cannot judge keys: %s", zmq_strerror(errno));
        gate_free(gate);
        return NULL;
    }
    gate->zap_watch = event_loop_watch_zmq(loop, gate->zap, on_request, gate);
    loop_watch_want(gate->zap_watch, true, false);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL)
        return;
    loop_timer_free(gate->rest);
    loop_watch_free(gate->zap_watch);
    if (gate->zap != NULL)
        (void)zsock_unbind(gate->zap, "%s", ZAP_ENDPOINT); /* at once: the next gate may come */
    zsock_destroy(&gate->zap);
    while (gate->reserved > 0)
        (void)close(gate->reserve[--gate->reserved]);
    free(gate);
}
