/* The commands that one connection has given to hiredis and that Redis has not answered yet: a
 * deadline for each, and limits. A command without an answer in time fails; Redis is stalled from
 * then on until that answer comes. */
#ifndef CLIENTS_REDIS_REDIS_COMMANDS_H
#define CLIENTS_REDIS_REDIS_COMMANDS_H

#include "services/clients/redis/command_text.h"
#include "services/clients/redis/redis_connection.h"
#include <hiredis/async.h>

struct redis_commands {
    h2o_linklist_t in_time; /* the oldest first */
    unsigned in_flight;     /* that hiredis has, overdue ones too */
    size_t in_flight_bytes;
    unsigned overdue;
    int64_t stalled_since_ms; /* when `overdue` became more than 0 */
    unsigned lost;            /* with their connections, ever; the owner's own do not count */
    struct command_text text; /* the last command */
    struct metric_histogram *seconds;
    struct metric_counter *timeouts;
    void (*on_error)(void *arg, const char *error);
    void *arg; /* the owner: commands with this `arg` are its own */
};

/* `on_error` comes for each answer that is an error, before the command's own callback. */
void redis_commands_init(struct redis_commands *commands,
                         void (*on_error)(void *arg, const char *error), void *arg);

/* After it no callback comes; hiredis must still be made to drop what it has. */
void redis_commands_abandon(struct redis_commands *commands);

/* hiredis has dropped all of it. */
void redis_commands_release(struct redis_commands *commands);

/* No more should be sent now: Redis is stalled, or too much is under way. */
bool redis_commands_full(const struct redis_commands *commands);

/* Give a command to hiredis, which copies it. Returns -1 when the context is closing; else the
 * callback comes once: from a callback of hiredis, or from redis_commands_expire(). */
int redis_commands_send(struct redis_commands *commands, redisAsyncContext *context,
                        const struct redis_word *words, size_t count, redis_done_fn *on_done,
                        void *arg);

/* Everything that was sent has been written: its time begins. */
void redis_commands_written(struct redis_commands *commands);

/* Answer those whose time is over. */
void redis_commands_expire(struct redis_commands *commands);

/* When the oldest command's time is over (clock_monotonic_ms()); INT64_MAX: none has begun. */
int64_t redis_commands_deadline_ms(const struct redis_commands *commands);

#endif
