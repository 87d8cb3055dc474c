/* The states of the connection, and the commands under way. hiredis keeps the protocol's state: it
 * calls on_reply() once for each command, in the order of sending. */
#include "services/clients/redis/redis_connection.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/redis/command_text.h"
#include "services/clients/redis/hiredis_loop.h"
#include "services/clients/redis/tls.h"
#include "services/loop/name_lookup.h"
#include <assert.h>
#include <hiredis/async.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_MS 2000 /* of name lookup, connecting and logging in */
#define STALL_TIMEOUT_MS 1000
#define BACKOFF_BASE_MS 50
#define BACKOFF_CAP_MS 2000
#define NOT_WRITTEN INT64_MAX
#define MAX_IN_FLIGHT 4096
#define MAX_IN_FLIGHT_BYTES (8 * 1024 * 1024)

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
    int64_t sent_us, deadline_ms; /* no deadline before it is written: NOT_WRITTEN */
    size_t bytes;
    h2o_linklist_t link; /* in `in_time` until answered or overdue */
};

struct redis_connection {
    struct event_loop *events;
    struct redis_options options;
    struct host_port address;
    SSL_CTX *tls; /* made for the first connection with TLS */
    enum redis_state state;
    struct name_lookup *lookup;
    redisAsyncContext *context;
    struct hiredis_loop loop;
    struct loop_timer *timer;
    struct backoff backoff;
    h2o_linklist_t in_time; /* commands, the oldest first */
    unsigned in_flight;     /* commands that hiredis has, overdue ones too */
    size_t in_flight_bytes;
    struct command_text text; /* the last command */
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
    if (connection->options.on_state == NULL ||
        (connection->reported && connection->reported_up == up))
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
    loop_timer_start(connection->timer, backoff_next_ms(&connection->backoff, arc4random()));
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

static struct redis_command *oldest_in_time(struct redis_connection *connection)
{
    if (h2o_linklist_is_empty(&connection->in_time))
        return NULL;
    return H2O_STRUCT_FROM_MEMBER(struct redis_command, link, connection->in_time.next);
}

/* From now on the command waits for hiredis alone. Returns its callback. */
static redis_done_fn *give_up(struct redis_command *command)
{
    redis_done_fn *on_done = command->on_done;
    h2o_linklist_unlink(&command->link);
    command->on_done = NULL;
    if (command->connection->overdue++ == 0)
        command->connection->stalled_since_ms = clock_monotonic_ms();
    return on_done;
}

/* The callbacks cannot send: Redis is stalled now. */
static void expire_commands(struct redis_connection *connection)
{
    int64_t now_ms = clock_monotonic_ms();
    struct redis_command *command;
    while ((command = oldest_in_time(connection)) != NULL && command->deadline_ms <= now_ms) {
        metric_add(connection->timeouts, 1);
        give_up(command)(command->arg, NULL);
    }
}

/* Sleep until the next deadline. The timer is left running when commands are answered before it, so
 * that it is set once per deadline and not once per command. */
static void watch_deadlines(struct redis_connection *connection)
{
    if (connection->state != REDIS_UP || loop_timer_running(connection->timer))
        return;
    const struct redis_command *oldest = oldest_in_time(connection);
    if (oldest == NULL && connection->overdue == 0)
        return;
    if (oldest != NULL && oldest->deadline_ms == NOT_WRITTEN)
        return;
    int64_t until_ms =
        oldest != NULL ? oldest->deadline_ms : connection->stalled_since_ms + STALL_TIMEOUT_MS;
    int64_t wait_ms = until_ms - clock_monotonic_ms();
    loop_timer_start(connection->timer, wait_ms > 0 ? wait_ms : 0);
}

/* A command's time begins when it is written, which is at the end of the turn: a turn that took
 * long for other reasons is not Redis' fault. */
static void on_flushed(void *arg)
{
    struct redis_connection *connection = arg;
    int64_t deadline_ms = clock_monotonic_ms() + REDIS_COMMAND_TIMEOUT_MS;
    for (h2o_linklist_t *node = connection->in_time.prev; node != &connection->in_time;
         node = node->prev) {
        struct redis_command *command = H2O_STRUCT_FROM_MEMBER(struct redis_command, link, node);
        if (command->deadline_ms != NOT_WRITTEN)
            break;
        command->deadline_ms = deadline_ms;
    }
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

/* Give the command to hiredis, which copies it. */
static int send_command(struct redis_connection *connection, const struct redis_word *words,
                        size_t count, redis_done_fn *on_done, void *arg)
{
    struct redis_command *command = memory_new(sizeof(*command));
    command->connection = connection;
    command->on_done = on_done;
    command->arg = arg;
    command->sent_us = clock_monotonic_us();
    command->deadline_ms = NOT_WRITTEN;
    command->bytes = command_text_write(&connection->text, words, count);
    if (redisAsyncFormattedCommand(connection->context, on_reply, command, connection->text.bytes,
                                   command->bytes) != REDIS_OK) {
        free(command); /* the connection is closing */
        return -1;
    }
    h2o_linklist_insert(&connection->in_time, &command->link);
    connection->in_flight++;
    connection->in_flight_bytes += command->bytes;
    return 0;
}

int redis_connection_send(struct redis_connection *connection, const struct redis_word *words,
                          size_t count, redis_done_fn *on_done, void *arg)
{
    if (connection->state != REDIS_UP || connection->overdue > 0 ||
        connection->in_flight >= MAX_IN_FLIGHT ||
        connection->in_flight_bytes >= MAX_IN_FLIGHT_BYTES ||
        send_command(connection, words, count, on_done, arg) != 0)
        return -1;
    return 0;
}

/* ---- connecting ---- */

/* Whether Redis has refused what was asked: then the attempt is over. */
static bool refused(struct redis_connection *connection, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    set_reason(connection, reply->str);  /* WRONGPASS, LOADING …; never with the password in it */
    redisAsyncFree(connection->context); /* after this callback, with on_disconnected() */
    return true;
}

static void on_pong(void *arg, const redisReply *reply)
{
    struct redis_connection *connection = arg;
    if (connection->state == REDIS_CONNECTING && reply != NULL && !refused(connection, reply))
        set_up(connection);
}

/* A Redis that lets anyone in answers PING even so. */
static void on_login(void *arg, const redisReply *reply)
{
    struct redis_connection *connection = arg;
    if (connection->state == REDIS_CONNECTING && reply != NULL)
        (void)refused(connection, reply);
}

static void log_in(struct redis_connection *connection)
{
    const char *username = connection->options.username, *password = connection->options.password;
    if (password != NULL) {
        const struct redis_word auth[] = {REDIS_WORD("AUTH"),
                                          redis_word(username != NULL ? username : password),
                                          redis_word(password)};
        (void)send_command(connection, auth, username != NULL ? 3 : 2, on_login, connection);
    }
    (void)send_command(connection, &REDIS_WORD("PING"), 1, on_pong, connection);
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
        set_reason(connection, redis_error_text(&context->c));
    connection->context = NULL;
    wait_to_reconnect(connection);
}

static void begin(struct redis_connection *connection, redisAsyncContext *context)
{
    connection->state = REDIS_CONNECTING;
    if (context == NULL)
        abort(); /* out of memory */
    if (context->err != 0)
        set_reason(connection, context->errstr);
    if (context->err != 0 ||
        (connection->address.tls &&
         redis_tls_begin(&connection->tls, connection->options.ca_file, &context->c,
                         connection->address.host, &connection->reason) != 0)) {
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
    connection->command_seconds =
        metric_histogram("redis_command_duration_seconds", NULL,
                         "From sending a command to its reply", METRIC_SECONDS);
    connection->timeouts =
        metric_counter("redis_timeouts_total", NULL, "Commands without a reply in time");
    connection->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    h2o_linklist_init_anchor(&connection->in_time);
    hiredis_loop_init(&connection->loop, events, on_flushed, connection);
    connection->timer = event_loop_timer(events, on_timer, connection);
    connect_now(connection);
    return connection;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    connection->options.on_state = NULL;
    for (struct redis_command *command; (command = oldest_in_time(connection)) != NULL;)
        (void)give_up(command);
    disconnect(connection, "stopping");
    name_lookup_free(connection->lookup);
    loop_timer_free(connection->timer);
    command_text_release(&connection->text);
    SSL_CTX_free(connection->tls);
    free(connection);
}
