/* The states of the connection: connecting, logging in, being up, waiting to connect again. */
#include "services/clients/redis/redis_connection.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/redis/hiredis_loop.h"
#include "services/clients/redis/redis_commands.h"
#include "services/clients/redis/redis_login.h"
#include "services/clients/redis/tls.h"
#include "services/loop/name_lookup.h"
#include "services/loop/tcp_keepalive.h"
#include <assert.h>
#include <hiredis/async.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Both together: a Redis that is well again, or has another address, is used after 2 s at most. */
#define CONNECT_TIMEOUT_MS 1000 /* of name lookup, connecting, logging in and the probe */
#define BACKOFF_CAP_MS 1000
#define BACKOFF_BASE_MS 50
#define STALL_TIMEOUT_MS 1000
#define PROBE_EVERY_MS 2000
#define LASTED_MS 1000 /* a connection that was up for less counts as one more failure */

enum redis_state {
    REDIS_RESOLVING,
    REDIS_CONNECTING, /* logging in, and the probe */
    REDIS_UP,
    REDIS_WAITING, /* to connect again */
};

struct redis_connection {
    struct event_loop *events;
    struct redis_options options;
    struct host_port address;
    enum redis_state state;
    struct name_lookup *lookup;
    redisAsyncContext *context;
    struct hiredis_loop loop;
    struct loop_timer *timer;
    int64_t timer_ms; /* while up: when it fires */
    struct loop_timer *probe_timer;
    struct backoff backoff;
    int64_t up_since_ms;
    struct redis_commands commands;
    unsigned lost_before; /* commands, when this connection was begun */
    bool reported, reported_up;
    struct error reported_reason;
    struct error reason; /* why the attempt failed, or the connection was lost */
    struct metric_counter *errors;
};

static void connect_now(struct redis_connection *connection);

/* ---- states ---- */

static void set_reason(struct redis_connection *connection, const char *reason)
{
    error_set(&connection->reason, "%s", reason);
}

/* Whether it is reported as down already, for this reason. */
static bool is_known(const struct redis_connection *connection, const char *reason)
{
    return connection->reported && !connection->reported_up &&
           strcmp(connection->reported_reason.message, reason) == 0;
}

static void report(struct redis_connection *connection, bool up)
{
    if (connection->options.on_state == NULL ||
        (up ? connection->reported && connection->reported_up
            : is_known(connection, connection->reason.message)))
        return;
    connection->reported = true;
    connection->reported_up = up;
    connection->reported_reason = connection->reason;
    connection->options.on_state(connection->options.arg, up,
                                 up ? NULL : connection->reason.message);
}

static bool has_lasted(const struct redis_connection *connection)
{
    return connection->state == REDIS_UP &&
           clock_monotonic_ms() - connection->up_since_ms >= LASTED_MS;
}

/* The context frees itself, or is being freed; its commands have been answered. */
static void wait_to_reconnect(struct redis_connection *connection)
{
    name_lookup_free(connection->lookup);
    connection->lookup = NULL;
    if (has_lasted(connection))
        backoff_reset(&connection->backoff);
    connection->state = REDIS_WAITING;
    loop_timer_stop(connection->probe_timer);
    loop_timer_start(connection->timer, backoff_next_ms(&connection->backoff, arc4random()));
    report(connection, false);
}

/* The server, or a firewall, has ended a connection that nobody used. That is no fault. One is
 * reported only if the next attempt fails. */
static void reconnect_unnoticed(struct redis_connection *connection)
{
    connection->state = REDIS_WAITING;
    loop_timer_stop(connection->probe_timer);
    backoff_reset(&connection->backoff);
    loop_timer_start(connection->timer, 0);
}

static void set_up(struct redis_connection *connection)
{
    connection->state = REDIS_UP;
    connection->up_since_ms = clock_monotonic_ms();
    loop_timer_stop(connection->timer);
    loop_timer_start(connection->probe_timer, PROBE_EVERY_MS);
    report(connection, true);
}

/* Drop the connection, or the attempt at one. Every command is answered, from inside. Not to be
 * called inside a callback of hiredis, which would free the context later. */
static void disconnect(struct redis_connection *connection, const char *reason)
{
    redisAsyncContext *context = connection->context;
    set_reason(connection, reason);
    if (context != NULL)
        redisAsyncFree(context); /* calls on_disconnected(), but not for one still connecting */
    if (connection->state != REDIS_WAITING) {
        connection->context = NULL;
        wait_to_reconnect(connection);
    }
}

/* ---- commands ---- */

/* An error ends the connection unless it is about the command alone: at the next attempt this Redis
 * may be well, or another one may answer. */
static void on_error(void *arg, const char *error)
{
    struct redis_connection *connection = arg;
    struct error cut_to_fit;
    error_set(&cut_to_fit, "%s", error);
    metric_add(connection->errors, 1);
    if (connection->options.on_error != NULL && !is_known(connection, cut_to_fit.message))
        connection->options.on_error(connection->options.arg, error);
    if (connection->state == REDIS_UP && !redis_error_is_the_servers(error))
        return;
    set_reason(connection, error);
    redisAsyncFree(connection->context); /* after this callback, with on_disconnected() */
}

/* Sleep until the next deadline. The timer is left running when commands are answered before it, so
 * that it is set once per deadline and not once per command. */
static void watch_deadlines(struct redis_connection *connection)
{
    if (connection->state != REDIS_UP)
        return;
    int64_t until_ms = redis_commands_deadline_ms(&connection->commands);
    if (until_ms == INT64_MAX && connection->commands.overdue > 0)
        until_ms = connection->commands.stalled_since_ms + STALL_TIMEOUT_MS;
    bool sleeping = loop_timer_running(connection->timer);
    if (until_ms == INT64_MAX || (sleeping && connection->timer_ms <= until_ms))
        return;
    connection->timer_ms = until_ms;
    int64_t wait_ms = until_ms - clock_monotonic_ms();
    loop_timer_start(connection->timer, wait_ms > 0 ? wait_ms : 0);
}

static void on_flushed(void *arg)
{
    struct redis_connection *connection = arg;
    redis_commands_written(&connection->commands);
    watch_deadlines(connection);
}

static void on_timer(void *arg)
{
    struct redis_connection *connection = arg;
    switch (connection->state) {
    case REDIS_WAITING:
        connect_now(connection);
        return;
    case REDIS_RESOLVING:
    case REDIS_CONNECTING:
        disconnect(connection, "no connection in time");
        return;
    case REDIS_UP:
        hiredis_loop_read(&connection->loop);
        if (connection->state != REDIS_UP)
            return;
        if (connection->commands.overdue > 0 &&
            clock_monotonic_ms() >= connection->commands.stalled_since_ms + STALL_TIMEOUT_MS) {
            disconnect(connection, "Redis does not answer");
            return;
        }
        redis_commands_expire(&connection->commands);
        watch_deadlines(connection);
        return;
    }
}

int redis_connection_send(struct redis_connection *connection, const struct redis_word *words,
                          size_t count, redis_done_fn *on_done, void *arg)
{
    if (connection->state != REDIS_UP || redis_commands_full(&connection->commands))
        return -1;
    return redis_commands_send(&connection->commands, connection->context, words, count, on_done,
                               arg);
}

/* ---- connecting ---- */

/* An error has been told to on_error(). A Redis that lets anyone in executes the rest even so. */
static void on_probed(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

static void on_last_probed(void *arg, const redisReply *reply)
{
    struct redis_connection *connection = arg;
    if (connection->state == REDIS_CONNECTING && reply != NULL && reply->type != REDIS_REPLY_ERROR)
        set_up(connection);
}

static void log_in(struct redis_connection *connection)
{
    struct redis_login_command login[REDIS_LOGIN_COMMANDS];
    size_t count = redis_login(&connection->options, login);
    for (size_t i = 0; i < count; i++)
        (void)redis_commands_send(&connection->commands, connection->context, login[i].words,
                                  login[i].count, i + 1 < count ? on_probed : on_last_probed,
                                  connection); /* fails on a lost connection, which ends it */
}

/* A Redis that has become unfit is noticed without the traffic that would meet it. */
static void on_probe(void *arg)
{
    struct redis_connection *connection = arg;
    loop_timer_start(connection->probe_timer, PROBE_EVERY_MS);
    if (!redis_commands_full(&connection->commands))
        log_in(connection);
}

static void on_connected(const redisAsyncContext *context, int status)
{
    struct redis_connection *connection = context->data;
    if (status != REDIS_OK) { /* hiredis frees the context, and calls nothing more */
        set_reason(connection, context->errstr);
        connection->context = NULL;
        wait_to_reconnect(connection);
        return;
    }
    int on = 1;
    if (connection->address.port != 0) {
        (void)setsockopt(context->c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        tcp_keepalive(context->c.fd);
    }
    log_in(connection);
}

static void on_disconnected(const redisAsyncContext *context, int status)
{
    struct redis_connection *connection = context->data;
    if (status != REDIS_OK)
        set_reason(connection, redis_error_text(&context->c));
    connection->context = NULL;
    if (status != REDIS_OK && has_lasted(connection) &&
        connection->commands.lost == connection->lost_before)
        reconnect_unnoticed(connection);
    else
        wait_to_reconnect(connection);
}

static void begin(struct redis_connection *connection, redisAsyncContext *context)
{
    connection->state = REDIS_CONNECTING;
    connection->lost_before = connection->commands.lost;
    if (context == NULL)
        abort(); /* out of memory */
    if (context->err != 0)
        set_reason(connection, context->errstr);
    if (context->err != 0 ||
        (connection->address.tls &&
         redis_tls_begin(connection->options.ca_file, &context->c, connection->address.host,
                         &connection->reason) != 0)) {
        redisAsyncFree(context);
        wait_to_reconnect(connection);
        return;
    }
    connection->context = context;
    context->data = connection;
    hiredis_loop_attach(&connection->loop, context);
    redisAsyncSetConnectCallback(context, on_connected); /* waits for writability */
    redisAsyncSetDisconnectCallback(context, on_disconnected);
}

static void on_resolved(void *arg, const struct name_lookup_result *result)
{
    struct redis_connection *connection = arg;
    if (result->count == 0) {
        set_reason(connection, result->error.message);
        wait_to_reconnect(connection);
        return;
    }
    /* A numeric address: does not block. */
    char address[NAME_LOOKUP_ADDRESS_SIZE];
    unsigned chosen = connection->backoff.failures % (unsigned)result->count;
    memcpy(address, result->addresses[chosen], sizeof(address));
    name_lookup_free(connection->lookup);
    connection->lookup = NULL;
    begin(connection, redisAsyncConnect(address, connection->address.port));
}

static void connect_now(struct redis_connection *connection)
{
    set_reason(connection, "connecting");
    loop_timer_start(connection->timer, CONNECT_TIMEOUT_MS);
    if (connection->address.port == 0) {
        begin(connection, redisAsyncConnectUnix(connection->address.host));
    } else {
        connection->state = REDIS_RESOLVING;
        connection->lookup =
            name_lookup_new(connection->events, connection->address.host, on_resolved, connection);
    }
}

void redis_connection_flush(struct redis_connection *connection)
{
    hiredis_loop_flush(&connection->loop);
}

/* ---- life ---- */

struct redis_connection *redis_connection_new(struct event_loop *events,
                                              const struct redis_options *options)
{
    struct redis_connection *connection = memory_new(sizeof(*connection));
    connection->events = events;
    connection->options = *options;
    int rc = redis_address_parse(options->address, &connection->address, NULL);
    assert(rc == 0 && "checked with the configuration");
    (void)rc;
    connection->errors =
        metric_counter("redis_errors_total", NULL, "Commands that Redis answered with an error");
    connection->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    redis_commands_init(&connection->commands, on_error, connection);
    hiredis_loop_init(&connection->loop, events, on_flushed, connection);
    connection->timer = event_loop_timer(events, on_timer, connection);
    connection->probe_timer = event_loop_timer(events, on_probe, connection);
    connect_now(connection);
    return connection;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    connection->options.on_state = NULL;
    connection->options.on_error = NULL;
    redis_commands_abandon(&connection->commands);
    disconnect(connection, "stopping");
    name_lookup_free(connection->lookup);
    loop_timer_free(connection->timer);
    loop_timer_free(connection->probe_timer);
    redis_commands_release(&connection->commands);
    free(connection);
}
