/* hiredis keeps the protocol's state: it calls on_reply() once for each command, in the order of
 * sending. */
#include "services/clients/redis/redis_commands.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <stdlib.h>

#define NOT_WRITTEN INT64_MAX
#define MAX_IN_FLIGHT 4096
#define MAX_IN_FLIGHT_BYTES (8 * 1024 * 1024)

struct redis_command {
    struct redis_commands *commands;
    redis_done_fn *on_done; /* NULL: it has been told that there was no answer in time */
    void *arg;
    int64_t sent_us, deadline_ms; /* no deadline before it is written: NOT_WRITTEN */
    size_t bytes;
    h2o_linklist_t link; /* in `in_time` until answered or overdue */
};

void redis_commands_init(struct redis_commands *commands,
                         void (*on_error)(void *arg, const char *error), void *arg)
{
    *commands = (struct redis_commands){
        .seconds = metric_histogram("redis_command_duration_seconds", NULL,
                                    "From sending a command to its reply", METRIC_SECONDS),
        .timeouts =
            metric_counter("redis_timeouts_total", NULL, "Commands without a reply in time"),
        .on_error = on_error,
        .arg = arg,
    };
    h2o_linklist_init_anchor(&commands->in_time);
}

static struct redis_command *oldest_in_time(const struct redis_commands *commands)
{
    if (h2o_linklist_is_empty((h2o_linklist_t *)(uintptr_t)&commands->in_time))
        return NULL;
    return H2O_STRUCT_FROM_MEMBER(struct redis_command, link, commands->in_time.next);
}

/* From now on the command waits for hiredis alone. Returns its callback. */
static redis_done_fn *give_up(struct redis_command *command)
{
    redis_done_fn *on_done = command->on_done;
    h2o_linklist_unlink(&command->link);
    command->on_done = NULL;
    if (command->commands->overdue++ == 0)
        command->commands->stalled_since_ms = clock_monotonic_ms();
    return on_done;
}

void redis_commands_abandon(struct redis_commands *commands)
{
    for (struct redis_command *command; (command = oldest_in_time(commands)) != NULL;)
        (void)give_up(command);
}

void redis_commands_release(struct redis_commands *commands)
{
    command_text_release(&commands->text);
}

/* The callbacks cannot send: Redis is stalled now. */
void redis_commands_expire(struct redis_commands *commands)
{
    int64_t now_ms = clock_monotonic_ms();
    struct redis_command *command;
    while ((command = oldest_in_time(commands)) != NULL && command->deadline_ms <= now_ms) {
        metric_add(commands->timeouts, 1);
        give_up(command)(command->arg, NULL);
    }
}

int64_t redis_commands_deadline_ms(const struct redis_commands *commands)
{
    const struct redis_command *oldest = oldest_in_time(commands);
    return oldest != NULL ? oldest->deadline_ms : NOT_WRITTEN;
}

/* A command's time begins when it is written, which is at the end of the turn: a turn that took
 * long for other reasons is not Redis' fault. */
void redis_commands_written(struct redis_commands *commands)
{
    int64_t deadline_ms = clock_monotonic_ms() + REDIS_COMMAND_TIMEOUT_MS;
    for (h2o_linklist_t *node = commands->in_time.prev; node != &commands->in_time;
         node = node->prev) {
        struct redis_command *command = H2O_STRUCT_FROM_MEMBER(struct redis_command, link, node);
        if (command->deadline_ms != NOT_WRITTEN)
            break;
        command->deadline_ms = deadline_ms;
    }
}

/* hiredis calls this once for each command: with its reply, or NULL when the connection is lost. */
static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    const redisReply *answer = reply;
    struct redis_command *command = arg;
    struct redis_commands *commands = command->commands;
    redis_done_fn *on_done = command->on_done;
    void *done_arg = command->arg;

    commands->in_flight--;
    commands->in_flight_bytes -= command->bytes;
    if (on_done != NULL)
        h2o_linklist_unlink(&command->link);
    else
        commands->overdue--;
    if (answer != NULL)
        metric_observe(commands->seconds, (double)(clock_monotonic_us() - command->sent_us) * 1e-6);
    else if (done_arg != commands->arg)
        commands->lost++;
    free(command);
    if (answer != NULL && answer->type == REDIS_REPLY_ERROR)
        commands->on_error(commands->arg, answer->str);
    if (on_done != NULL)
        on_done(done_arg, answer);
}

bool redis_commands_full(const struct redis_commands *commands)
{
    return commands->overdue > 0 || commands->in_flight >= MAX_IN_FLIGHT ||
           commands->in_flight_bytes >= MAX_IN_FLIGHT_BYTES;
}

int redis_commands_send(struct redis_commands *commands, redisAsyncContext *context,
                        const struct redis_word *words, size_t count, redis_done_fn *on_done,
                        void *arg)
{
    struct redis_command *command = memory_new(sizeof(*command));
    command->commands = commands;
    command->on_done = on_done;
    command->arg = arg;
    command->sent_us = clock_monotonic_us();
    command->deadline_ms = NOT_WRITTEN;
    command->bytes = command_text_write(&commands->text, words, count);
    if (redisAsyncFormattedCommand(context, on_reply, command, commands->text.bytes,
                                   command->bytes) != REDIS_OK) {
        free(command); /* the connection is closing */
        return -1;
    }
    h2o_linklist_insert(&commands->in_time, &command->link);
    commands->in_flight++;
    commands->in_flight_bytes += command->bytes;
    return 0;
}
