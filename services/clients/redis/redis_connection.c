#include "services/clients/redis/redis_connection.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/loop/name_lookup.h"
#include <assert.h>
#include <hiredis/async.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define REDIS_PORT 6379
#define CONNECT_TIMEOUT_MS 2000 /* of name lookup, connecting and logging in */
#define STALL_TIMEOUT_MS 1000
#define BACKOFF_BASE_MS 50
#define BACKOFF_CAP_MS 2000
#define MAX_IN_FLIGHT 4096
#define MAX_IN_FLIGHT_BYTES (8 * 1024 * 1024)
#define LENGTH_TEXT_SIZE 24 /* of a length with its type and line end */

enum redis_state {
    REDIS_RESOLVING,
    REDIS_CONNECTING, /* and logging in */
    REDIS_UP,
    REDIS_WAITING, /* to connect again */
};

struct redis_command {
    struct redis_connection *connection;
    redis_done_fn *on_done; /* NULL: it has been told that there was no answer in time */
    void *arg;
    int64_t sent_us, deadline_ms;
    size_t bytes;
    h2o_linklist_t link; /* in `in_time` until answered or overdue */
};

struct redis_connection {
    h2o_loop_t *loop;
    struct event_loop *events;
    struct redis_options options;
    struct host_port address;
    enum redis_state state;
    struct name_lookup *lookup;
    redisAsyncContext *context;
    struct loop_watch *watch;
    bool want_read, want_write;
    h2o_timeout_t turn; /* zero: runs at the end of this turn of the loop */
    h2o_timeout_entry_t flush;
    bool flushing;
    struct loop_timer *timer;
    struct backoff backoff;
    h2o_linklist_t in_time; /* commands, the oldest first */
    unsigned in_flight;     /* commands that hiredis has, overdue ones too */
    size_t in_flight_bytes;
    char *text; /* the last command */
    size_t text_size;
    unsigned overdue;
    int64_t stalled_since_ms; /* when `overdue` became more than 0 */
    bool reported, reported_up;
    struct error reason; /* why the attempt failed, or the connection was lost */
    struct metric_histogram *command_seconds;
    struct metric_counter *timeouts;
};

static void connect_now(struct redis_connection *connection);

/* ---- states ---- */

static void set_reason(struct redis_connection *connection, const char *reason)
{
    error_set(&connection->reason, "%s", reason);
}

static void report(struct redis_connection *connection, bool up)
{
    if (connection->reported && connection->reported_up == up)
        return;
    connection->reported = true;
    connection->reported_up = up;
    connection->options.on_state(connection->options.arg, up,
                                 up ? NULL : connection->reason.message);
}

/* The context frees itself, or is being freed; its commands have been answered. */
static void wait_to_reconnect(struct redis_connection *connection)
{
    name_lookup_free(connection->lookup);
    connection->lookup = NULL;
    connection->state = REDIS_WAITING;
    uint32_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort(); /* the kernel gives up to 256 bytes at once, getrandom(2) */
    loop_timer_start(connection->timer, backoff_next_ms(&connection->backoff, random));
    report(connection, false);
}

static void set_up(struct redis_connection *connection)
{
    connection->state = REDIS_UP;
    loop_timer_stop(connection->timer);
    backoff_reset(&connection->backoff);
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

static void expire_commands(struct redis_connection *connection)
{
    int64_t now_ms = clock_monotonic_ms();
    h2o_linklist_t expired;
    h2o_linklist_init_anchor(&expired);
    while (!h2o_linklist_is_empty(&connection->in_time)) {
        struct redis_command *command =
            H2O_STRUCT_FROM_MEMBER(struct redis_command, link, connection->in_time.next);
        if (command->deadline_ms > now_ms)
            break;
        h2o_linklist_unlink(&command->link);
        h2o_linklist_insert(&expired, &command->link);
        metric_add(connection->timeouts, 1);
        if (connection->overdue++ == 0)
            connection->stalled_since_ms = now_ms;
    }
    while (!h2o_linklist_is_empty(&expired)) {
        struct redis_command *command =
            H2O_STRUCT_FROM_MEMBER(struct redis_command, link, expired.next);
        h2o_linklist_unlink(&command->link);
        redis_done_fn *on_done = command->on_done;
        command->on_done = NULL;
        on_done(command->arg, NULL);
    }
}

/* Sleep until the next deadline. The timer is left running when commands are answered before it, so
 * that it is set once per deadline and not once per command. */
static void watch_deadlines(struct redis_connection *connection)
{
    if (connection->state != REDIS_UP || loop_timer_running(connection->timer))
        return;
    int64_t now_ms = clock_monotonic_ms();
    if (!h2o_linklist_is_empty(&connection->in_time)) {
        struct redis_command *oldest =
            H2O_STRUCT_FROM_MEMBER(struct redis_command, link, connection->in_time.next);
        int64_t wait_ms = oldest->deadline_ms - now_ms;
        loop_timer_start(connection->timer, wait_ms > 0 ? wait_ms : 0);
    } else if (connection->overdue > 0) {
        int64_t wait_ms = connection->stalled_since_ms + STALL_TIMEOUT_MS - now_ms;
        loop_timer_start(connection->timer, wait_ms > 0 ? wait_ms : 0);
    }
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
        if (connection->overdue > 0 &&
            clock_monotonic_ms() >= connection->stalled_since_ms + STALL_TIMEOUT_MS) {
            disconnect(connection, "Redis does not answer");
            return;
        }
        expire_commands(connection);
        watch_deadlines(connection);
        return;
    }
}

/* hiredis calls this once for each command: with its reply, or NULL when the connection is lost. */
static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    struct redis_command *command = arg;
    struct redis_connection *connection = command->connection;
    redis_done_fn *on_done = command->on_done;
    void *done_arg = command->arg;

    connection->in_flight--;
    connection->in_flight_bytes -= command->bytes;
    if (on_done != NULL)
        h2o_linklist_unlink(&command->link);
    else if (--connection->overdue == 0 && connection->state == REDIS_UP)
        loop_timer_stop(connection->timer); /* it was waiting for the end of the stall */
    if (reply != NULL)
        metric_observe(connection->command_seconds,
                       (double)(clock_monotonic_us() - command->sent_us) * 1e-6);
    free(command);
    if (on_done != NULL)
        on_done(done_arg, reply);
}

static char *put_length(char *at, char type, size_t length)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    *at++ = type;
    while (count > 0)
        *at++ = digits[--count];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* The command as Redis reads it (redis.io, "RESP protocol spec"), in `text` until the next one.
 * hiredis formats it at ten times the cost. */
static size_t format_command(struct redis_connection *connection, int argc, const char *const *argv,
                             const size_t *lengths)
{
    size_t size = LENGTH_TEXT_SIZE;
    for (int i = 0; i < argc; i++)
        size += LENGTH_TEXT_SIZE + lengths[i] + 2;
    if (size > connection->text_size) {
        connection->text_size = 2 * size;
        connection->text = memory_resize(connection->text, connection->text_size);
    }
    char *at = put_length(connection->text, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        at = put_length(at, '$', lengths[i]);
        memcpy(at, argv[i], lengths[i]);
        at += lengths[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - connection->text);
}

/* Give the command to hiredis, which copies it. */
static int send_command(struct redis_connection *connection, int argc, const char *const *argv,
                        const size_t *lengths, redis_done_fn *on_done, void *arg)
{
    struct redis_command *command = memory_new(sizeof(*command));
    command->connection = connection;
    command->on_done = on_done;
    command->arg = arg;
    command->sent_us = clock_monotonic_us();
    command->deadline_ms = command->sent_us / 1000 + REDIS_COMMAND_TIMEOUT_MS;
    command->bytes = format_command(connection, argc, argv, lengths);
    if (redisAsyncFormattedCommand(connection->context, on_reply, command, connection->text,
                                   command->bytes) != REDIS_OK) {
        free(command); /* the connection is closing */
        return -1;
    }
    h2o_linklist_insert(&connection->in_time, &command->link);
    connection->in_flight++;
    connection->in_flight_bytes += command->bytes;
    return 0;
}

int redis_connection_send(struct redis_connection *connection, int argc, const char *const *argv,
                          const size_t *lengths, redis_done_fn *on_done, void *arg)
{
    if (connection->state != REDIS_UP || connection->overdue > 0 ||
        connection->in_flight >= MAX_IN_FLIGHT ||
        connection->in_flight_bytes >= MAX_IN_FLIGHT_BYTES)
        return -1;
    if (send_command(connection, argc, argv, lengths, on_done, arg) != 0)
        return -1;
    watch_deadlines(connection);
    return 0;
}

/* ---- the loop's side of hiredis ---- */

static void on_ready(void *arg, bool readable, bool writable)
{
    struct redis_connection *connection = arg;
    redisAsyncContext *context = connection->context;
    if (writable)
        redisAsyncHandleWrite(context);
    if (readable && connection->context == context && context != NULL)
        redisAsyncHandleRead(context);
}

static void update_watch(struct redis_connection *connection)
{
    if (connection->watch != NULL)
        loop_watch_want(connection->watch, connection->want_read, connection->want_write);
}

static void add_read(void *arg)
{
    struct redis_connection *connection = arg;
    connection->want_read = true;
    update_watch(connection);
}

static void del_read(void *arg)
{
    struct redis_connection *connection = arg;
    connection->want_read = false;
    update_watch(connection);
}

/* Commands are written at the end of the turn. When connecting, or when a write was partial, the
 * socket must become writable first. */
static void add_write(void *arg)
{
    struct redis_connection *connection = arg;
    bool connected =
        connection->context != NULL && (connection->context->c.flags & REDIS_CONNECTED) != 0;
    if (connected && !connection->flushing) {
        if (!h2o_timeout_is_linked(&connection->flush) && !connection->want_write)
            h2o_timeout_link(connection->loop, &connection->turn, &connection->flush);
    } else {
        connection->want_write = true;
        update_watch(connection);
    }
}

static void del_write(void *arg)
{
    struct redis_connection *connection = arg;
    if (connection->want_write) {
        connection->want_write = false;
        update_watch(connection);
    }
}

static void on_flush(h2o_timeout_entry_t *entry)
{
    struct redis_connection *connection =
        H2O_STRUCT_FROM_MEMBER(struct redis_connection, flush, entry);
    if (connection->context == NULL)
        return;
    connection->flushing = true;
    redisAsyncHandleWrite(connection->context);
    connection->flushing = false;
}

/* hiredis is about to close the socket. */
static void on_cleanup(void *arg)
{
    struct redis_connection *connection = arg;
    loop_watch_free(connection->watch);
    connection->watch = NULL;
    connection->want_read = connection->want_write = false;
    h2o_timeout_unlink(&connection->flush);
}

/* ---- connecting ---- */

static void on_pong(void *arg, const redisReply *reply)
{
    struct redis_connection *connection = arg;
    if (connection->state != REDIS_CONNECTING)
        return;
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        set_up(connection);
    } else if (reply != NULL) {
        set_reason(connection, reply->str); /* NOAUTH, LOADING …; never with the password in it */
        redisAsyncFree(connection->context); /* after this callback, with on_disconnected() */
    }
}

/* What became of AUTH shows in the reply to PING: NOAUTH. */
static void on_login(void *arg, const redisReply *reply)
{
    (void)arg;
    (void)reply;
}

static void log_in(struct redis_connection *connection)
{
    const struct redis_options *options = &connection->options;
    const char *auth[3] = {"AUTH", options->username, options->password};
    int argc = 3;
    if (options->username == NULL) {
        auth[1] = options->password;
        argc = 2;
    }
    if (options->password != NULL) {
        size_t lengths[3] = {4, strlen(auth[1]), argc == 3 ? strlen(auth[2]) : 0};
        (void)send_command(connection, argc, auth, lengths, on_login, connection);
    }
    (void)send_command(connection, 1, (const char *const[]){"PING"}, (const size_t[]){4}, on_pong,
                       connection);
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
    if (connection->address.port != 0)
        (void)setsockopt(context->c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    log_in(connection);
}

static void on_disconnected(const redisAsyncContext *context, int status)
{
    struct redis_connection *connection = context->data;
    if (status != REDIS_OK)
        set_reason(connection, context->errstr);
    connection->context = NULL;
    wait_to_reconnect(connection);
}

static void begin(struct redis_connection *connection, redisAsyncContext *context)
{
    connection->state = REDIS_CONNECTING;
    if (context == NULL)
        abort(); /* out of memory */
    if (context->err != 0) {
        set_reason(connection, context->errstr);
        redisAsyncFree(context);
        wait_to_reconnect(connection);
        return;
    }
    connection->context = context;
    context->data = connection;
    connection->watch = event_loop_watch(connection->events, context->c.fd, on_ready, connection);
    context->ev.data = connection;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = on_cleanup;
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

/* ---- life ---- */

struct redis_connection *redis_connection_new(h2o_loop_t *loop, struct event_loop *events,
                                              const struct redis_options *options)
{
    struct redis_connection *connection = memory_new(sizeof(*connection));
    connection->loop = loop;
    connection->events = events;
    connection->options = *options;
    int rc = host_port_parse(options->address, REDIS_PORT, &connection->address, NULL);
    assert(rc == 0 && "checked with the configuration");
    (void)rc;
    connection->command_seconds = metric_histogram_seconds("redis_command_duration_seconds", NULL,
                                                           "From sending a command to its reply");
    connection->timeouts =
        metric_counter("redis_timeouts_total", NULL, "Commands without a reply in time");
    connection->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    h2o_linklist_init_anchor(&connection->in_time);
    h2o_timeout_init(loop, &connection->turn, 0);
    connection->flush.cb = on_flush;
    connection->timer = event_loop_timer(events, on_timer, connection);
    connect_now(connection);
    return connection;
}

static void drop(void *arg, const redisReply *reply)
{
    (void)arg;
    (void)reply;
}

static void ignore_state(void *arg, bool up, const char *reason)
{
    (void)arg;
    (void)up;
    (void)reason;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    connection->options.on_state = ignore_state;
    while (!h2o_linklist_is_empty(&connection->in_time)) {
        struct redis_command *command =
            H2O_STRUCT_FROM_MEMBER(struct redis_command, link, connection->in_time.next);
        h2o_linklist_unlink(&command->link);
        h2o_linklist_init_anchor(&command->link);
        command->on_done = drop;
    }
    disconnect(connection, "stopping");
    name_lookup_free(connection->lookup);
    loop_timer_free(connection->timer);
    h2o_timeout_dispose(connection->loop, &connection->turn);
    free(connection->text);
    free(connection);
}

/* ---- --check ---- */

static int check_reply(redisContext *context, redisReply *reply, struct error *err)
{
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        freeReplyObject(reply);
        return 0;
    }
    error_set(err, "%s", reply != NULL ? reply->str : context->errstr);
    freeReplyObject(reply);
    return -1;
}

int redis_reach(const struct redis_options *options, struct error *err)
{
    const struct timeval timeout = {2, 0};
    struct host_port address;
    if (host_port_parse(options->address, REDIS_PORT, &address, err) != 0)
        return -1;
    redisContext *context = address.port == 0
                                ? redisConnectUnixWithTimeout(address.host, timeout)
                                : redisConnectWithTimeout(address.host, address.port, timeout);
    if (context == NULL)
        abort(); /* out of memory */
    int rc = 0;
    if (context->err != 0) {
        error_set(err, "%s", context->errstr);
        rc = -1;
    } else {
        redisSetTimeout(context, timeout);
        if (options->password != NULL && options->username != NULL)
            rc = check_reply(
                context, redisCommand(context, "AUTH %s %s", options->username, options->password),
                err);
        else if (options->password != NULL)
            rc = check_reply(context, redisCommand(context, "AUTH %s", options->password), err);
        if (rc == 0)
            rc = check_reply(context, redisCommand(context, "PING"), err);
    }
    redisFree(context);
    return rc;
}
