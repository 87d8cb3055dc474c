/* One connection to Redis on a loop: hiredis' asynchronous interface, with what it has not: a
 * deadline for each command, limits, reconnecting, and names resolved off the loop.
 *
 * Commands are pipelined, and written once per turn of the loop. A command that is not answered in
 * REDIS_COMMAND_TIMEOUT_MS fails; as long as its answer is outstanding Redis is stalled, and new
 * commands are refused at once (the breaker). A stall of a second ends the connection.
 *
 * It is up once the login and the probe (redis_login.h) were answered without an error, and until
 * an answer says that this Redis cannot serve (READONLY, LOADING, OOM, NOAUTH …) or the connection
 * is lost. Login and probe are repeated every 2 s. After a failure it connects again, with backoff,
 * and looks the name up each time. A connection that ends while no command is under way, as Redis'
 * own `timeout` ends it, is replaced without a word. */
#ifndef CLIENTS_REDIS_REDIS_CONNECTION_H
#define CLIENTS_REDIS_REDIS_CONNECTION_H

#include "proto/error.h"
#include "services/clients/redis/command_text.h"
#include "services/loop/event_loop.h"
#include <h2o.h>
#include <hiredis/hiredis.h>

#define REDIS_PORT 6379
#define REDIS_COMMAND_TIMEOUT_MS 50

struct redis_options {
    const char *address;  /* as redis_address_parse() takes it */
    const char *ca_file;  /* of rediss://, or NULL: the system's authorities */
    const char *username; /* or NULL */
    const char *password; /* or NULL */
    /* Called on each change, also of the reason, which is NULL when up. */
    void (*on_state)(void *arg, bool up, const char *reason);
    /* Redis has answered a command, the login or the probe with this error. Not called again and
     * again while it is down for this reason. */
    void (*on_error)(void *arg, const char *error);
    void *arg;
};

struct redis_connection;

/* Begins to connect. What `options` points to must outlive the connection. */
struct redis_connection *redis_connection_new(struct event_loop *events,
                                              const struct redis_options *options);

/* Commands under way are dropped without an answer. */
void redis_connection_free(struct redis_connection *connection);

/* `reply` is NULL when there was none in time; it lives during the callback. */
typedef void redis_done_fn(void *arg, const redisReply *reply);

/* Send one command; its words are copied. Returns 0, and the callback comes once, from the loop,
 * never from inside this call; or -1 when there is no connection, Redis is stalled, or too much is
 * under way. */
int redis_connection_send(struct redis_connection *connection, const struct redis_word *words,
                          size_t count, redis_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Write the commands that were sent; at the end of each turn of the loop. */
void redis_connection_flush(struct redis_connection *connection);

/* For --check: connect, log in, and probe. Blocks at most 5 s. */
int redis_reach(const struct redis_options *options, struct error *err)
    __attribute__((warn_unused_result));

#endif
