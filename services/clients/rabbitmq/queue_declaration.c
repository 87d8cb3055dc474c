/* RabbitMQ answers a declaration that differs from the existing queue by closing the channel with
 * 406; arguments cannot be changed later, so what exists is taken. An account without the configure
 * permission may still use queues that somebody else declared: passive first, and 403 is no error
 * for a queue that exists. */
#include "services/clients/rabbitmq/queue_declaration.h"
#include "proto/utf8.h"
#include "services/base/clock.h"
#include <stdio.h>
#include <string.h>

#define DEAD_SUFFIX ".dead"
#define ARGUMENTS_MAX 4

struct arguments {
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    int count;
};

static void add_text(struct arguments *arguments, const char *key, const char *value)
{
    arguments->entries[arguments->count++] = (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(value)}}};
}

static void add_number(struct arguments *arguments, const char *key, int64_t value)
{
    arguments->entries[arguments->count++] =
        (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                             .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = value}}};
}

static struct arguments queue_arguments(enum queue_type type, const char *dead_letter_queue,
                                        unsigned server_major)
{
    struct arguments arguments = {.count = 0};
    switch (type) {
    case QUEUE_CLASSIC:
        break; /* exactly as programs declare it that know nothing of ours */
    case QUEUE_QUORUM:
        add_text(&arguments, "x-queue-type", "quorum");
        /* A delivery limit dead-letters healthy orders: every lost connection counts a delivery.
         * RabbitMQ 4 has one by default, and -1 lifts it. Before 4 there is none by default, and
         * -1 drops every message at its first requeue. */
        if (server_major >= 4)
            add_number(&arguments, "x-delivery-limit", -1);
        if (dead_letter_queue) {
            add_text(&arguments, "x-dead-letter-exchange", "");
            add_text(&arguments, "x-dead-letter-routing-key", dead_letter_queue);
        }
        break;
    }
    return arguments;
}

static amqp_rpc_reply_t declare(struct broker_connection *connection, const char *queue,
                                bool passive, amqp_table_t arguments, int64_t deadline_ms)
{
    broker_set_deadline(connection, deadline_ms);
    amqp_queue_declare(connection->amqp, BROKER_CHANNEL, amqp_cstring_bytes(queue), passive,
                       /* durable */ 1, /* exclusive */ 0, /* auto_delete */ 0, arguments);
    return amqp_get_rpc_reply(connection->amqp);
}

/* The broker closed only the channel, for this reason. */
static bool channel_closed_with(amqp_rpc_reply_t reply, unsigned code)
{
    return reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
           reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD && broker_reply_code(reply) == code;
}

static int declare_one(struct broker_connection *connection, const char *queue,
                       struct arguments *arguments, int64_t deadline_ms, bool *differs,
                       struct error *err)
{
    char doing[QUEUE_NAME_SIZE + 32];
    (void)snprintf(doing, sizeof doing, "cannot declare queue %s", queue);

    amqp_rpc_reply_t reply = declare(connection, queue, true, amqp_empty_table, deadline_ms);
    bool exists = reply.reply_type == AMQP_RESPONSE_NORMAL;
    if (!exists) {
        if (!channel_closed_with(reply, AMQP_NOT_FOUND))
            return broker_check(reply, doing, err);
        if (broker_reopen_channel(connection, err) != 0)
            return -1;
    }
    amqp_table_t table = {.num_entries = arguments->count, .entries = arguments->entries};
    reply = declare(connection, queue, false, table, deadline_ms);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    if (channel_closed_with(reply, AMQP_PRECONDITION_FAILED))
        *differs = true;
    else if (!exists || !channel_closed_with(reply, AMQP_ACCESS_REFUSED))
        return broker_check(reply, doing, err);
    return broker_reopen_channel(connection, err);
}

int queue_declare(struct broker_connection *connection, const char *queue, enum queue_type type,
                  bool *ret_differs, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS;
    if (strlen(queue) + strlen(DEAD_SUFFIX) >= QUEUE_NAME_SIZE) {
        error_set(err, "the queue's name is longer than %zu bytes",
                  QUEUE_NAME_SIZE - sizeof DEAD_SUFFIX);
        return -1;
    }
    char dead[QUEUE_NAME_SIZE];
    dead_letter_queue_name(queue, dead);
    struct arguments dead_arguments = queue_arguments(type, NULL, connection->server_major);
    struct arguments arguments = queue_arguments(type, dead, connection->server_major);
    bool differs = false;
    /* The dead-letter queue first: the broker drops what it dead-letters to a queue that is not
     * there. */
    if (declare_one(connection, dead, &dead_arguments, deadline_ms, &differs, err) != 0 ||
        declare_one(connection, queue, &arguments, deadline_ms, &differs, err) != 0)
        return -1;
    broker_set_deadline(connection, clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS);
    *ret_differs = differs;
    return 0;
}

int queue_ask(struct broker_connection *connection, const char *queue, struct error *err)
{
    amqp_queue_declare_t passive = {.queue = amqp_cstring_bytes(queue), .passive = 1};
    int status =
        amqp_send_method(connection->amqp, BROKER_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &passive);
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "cannot ask for queue %s: %s", queue, amqp_error_string2(status));
    return -1;
}

void dead_letter_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE])
{
    (void)snprintf(ret_name, QUEUE_NAME_SIZE, "%.*s" DEAD_SUFFIX,
                   (int)(QUEUE_NAME_SIZE - sizeof DEAD_SUFFIX), queue);
}

/* AMQP 0-9-1 allows 255 bytes (short string, UTF-8), and ".dead" comes on top; names that begin
 * with "amq." are the broker's own. */
int queue_name_validate(const char *value, struct error *err)
{
    size_t len = strlen(value), character_len;
    bool valid = len <= 255 - strlen(DEAD_SUFFIX) && strncmp(value, "amq.", 4) != 0;
    for (size_t i = 0; valid && i < len; i += character_len) {
        uint32_t character = utf8_decode(value + i, len - i, &character_len);
        bool control = character < 0x20 || (character >= 0x7f && character < 0xa0);
        valid = character != UTF8_INVALID && !control;
    }
    if (valid)
        return 0;
    error_set(err,
              "a queue name has at most 250 bytes of UTF-8 without control characters and does "
              "not begin with amq.");
    return -1;
}
