/* Connects, declares the queues, and selects confirms. */
#include "services/clients/rabbitmq/link_attempt.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    return text ? memory_copy_text(text) : NULL;
}

static void wipe(const char *text)
{
    if (text)
        explicit_bzero((char *)(uintptr_t)text, strlen(text));
    free((char *)(uintptr_t)text);
}

struct link_attempt *link_attempt_new(const struct broker_link_options *options)
{
    struct link_attempt *attempt = memory_new(sizeof *attempt);
    *attempt = (struct link_attempt){
        .broker = {.url = copy(options->broker.url),
                   .ca_file = copy(options->broker.ca_file),
                   .name = copy(options->broker.name),
                   .server = options->broker.server},
        .queue = copy(options->queue),
        .third_queue = copy(options->third_queue),
        .queue_type = options->queue_type,
        .confirms = options->confirms,
        .consumes = options->consumes,
        .connection = {.amqp = NULL, .fd = -1},
    };
    return attempt;
}

void link_attempt_free(void *work)
{
    struct link_attempt *attempt = work;
    broker_disconnect(&attempt->connection, false); /* when nobody took it */
    wipe(attempt->broker.url);
    wipe(attempt->broker.ca_file);
    wipe(attempt->broker.name);
    wipe(attempt->queue);
    wipe(attempt->third_queue);
    free(attempt);
}

/* On the background thread. */
void link_attempt_run(void *work)
{
    struct link_attempt *attempt = work;
    struct broker_connection *connection = &attempt->connection;
    int failed = broker_connect(&attempt->broker, connection, &attempt->err);
    if (!failed)
        failed = queue_declare(connection, attempt->queue, attempt->queue_type,
                               &attempt->differences, &attempt->err);
    if (!failed && attempt->third_queue)
        failed = queue_declare_alone(connection, attempt->third_queue, attempt->queue_type,
                                     &attempt->err);
    if (!failed && attempt->confirms) {
        amqp_confirm_select(connection->amqp, BROKER_CHANNEL);
        failed = broker_check(amqp_get_rpc_reply(connection->amqp), "cannot select confirms",
                              &attempt->err);
    }
    if (!failed && attempt->consumes)
        failed = broker_take_large_frames(connection, &attempt->err);
    if (failed)
        broker_disconnect(connection, false);
}
