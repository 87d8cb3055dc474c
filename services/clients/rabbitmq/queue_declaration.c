/* RabbitMQ answers a declaration that differs from the existing queue by closing the channel with
 * 406; arguments cannot be changed later, so what exists is taken. An account without the configure
 * permission may still use queues that somebody else declared: passive first, and 403 is no error
 * for a queue that exists. */
#include "services/clients/rabbitmq/queue_declaration.h"
#include "proto/utf8.h"
#include "services/base/clock.h"
#include "services/base/metrics.h"
#include "services/clients/rabbitmq/queue_arguments.h"
#include <stdio.h>
#include <string.h>

#define DEAD_SUFFIX ".dead"
#define ARCHIVE_SUFFIX ".archive"
#define TYPE_ARGUMENT "x-queue-type"
#define LIMIT_ARGUMENT "x-delivery-limit"

/* What is asked of a queue. */
struct queue_wanted {
    const char *name, *dead_letter_queue; /* NULL: it has none */
    enum queue_type type;
};

static struct queue_arguments arguments_of(const struct queue_wanted *wanted, unsigned server_major)
{
    struct queue_arguments arguments = {.count = 0};
    switch (wanted->type) {
    case QUEUE_CLASSIC:
        break; /* exactly as programs declare it that know nothing of ours */
    case QUEUE_QUORUM:
        queue_arguments_set_text(&arguments, TYPE_ARGUMENT, "quorum");
        /* A delivery limit dead-letters healthy orders: every lost connection counts a delivery.
         * RabbitMQ 4 has one by default, and -1 lifts it. Before 4 there is none by default, and
         * -1 drops every message at its first requeue. */
        if (server_major >= 4)
            queue_arguments_set_number(&arguments, LIMIT_ARGUMENT, -1);
        if (wanted->dead_letter_queue) {
            queue_arguments_set_text(&arguments, "x-dead-letter-exchange", "");
            queue_arguments_set_text(&arguments, "x-dead-letter-routing-key",
                                     wanted->dead_letter_queue);
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

static int check(amqp_rpc_reply_t reply, const char *queue, struct error *err)
{
    char doing[QUEUE_NAME_SIZE + 32];
    (void)snprintf(doing, sizeof doing, "cannot declare queue %s", queue);
    return broker_check(reply, doing, err);
}

/* The broker closed only the channel, for this reason. */
static bool channel_closed_with(amqp_rpc_reply_t reply, unsigned code)
{
    return reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
           reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD && broker_reply_code(reply) == code;
}

/* The argument by which a queue throws messages away, or NULL. */
static const struct queue_argument *dropping(const struct queue_arguments *arguments)
{
    static const char *const names[] = {"x-max-length", "x-max-length-bytes", "x-message-ttl",
                                        "x-expires"};
    const struct queue_argument *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && found == NULL; i++)
        found = queue_arguments_find(arguments, names[i]);
    return found;
}

static bool is_delivery_limited(const struct queue_arguments *arguments, unsigned server_major)
{
    const struct queue_argument *type = queue_arguments_find(arguments, TYPE_ARGUMENT);
    const struct queue_argument *limit = queue_arguments_find(arguments, LIMIT_ARGUMENT);
    return server_major >= 4 && type != NULL && strcmp(type->text, "quorum") == 0 &&
           (limit == NULL || limit->number != -1);
}

/* `found`: the arguments of the queue that exists. */
static void judge(const struct queue_arguments *found, unsigned server_major,
                  struct queue_difference *difference)
{
    const struct queue_argument *argument = dropping(found);
    difference->delivery_limited = is_delivery_limited(found, server_major);
    difference->drops_messages = argument != NULL;
    if (argument != NULL)
        error_set(&difference->words, "its %s is %lld", argument->name,
                  (long long)argument->number);
}

/* Declare the queue; when it exists, find out how it differs. RabbitMQ refuses a declaration for
 * one argument, and tells what the queue has. Declared with that, RabbitMQ names the next one,
 * until it agrees: then the arguments are those of the queue. */
static int declare_or_compare(struct broker_connection *connection,
                              const struct queue_wanted *wanted, bool exists, int64_t deadline_ms,
                              struct queue_difference *ret, struct error *err)
{
    amqp_table_entry_t entries[QUEUE_ARGUMENTS_MAX];
    struct queue_arguments arguments = arguments_of(wanted, connection->server_major);
    bool understood = true;
    for (int round = 0; understood && round < QUEUE_ARGUMENTS_MAX; round++) {
        amqp_rpc_reply_t reply = declare(connection, wanted->name, false,
                                         queue_arguments_table(&arguments, entries), deadline_ms);
        if (reply.reply_type == AMQP_RESPONSE_NORMAL)
            break;
        bool refused = exists && channel_closed_with(reply, AMQP_ACCESS_REFUSED);
        if (!refused && !channel_closed_with(reply, AMQP_PRECONDITION_FAILED))
            return check(reply, wanted->name, err);
        amqp_bytes_t text = ((const amqp_channel_close_t *)reply.reply.decoded)->reply_text;
        struct error words;
        error_set(&words, "%.*s", (int)text.len, (const char *)text.bytes); /* 255 at most */
        if (broker_reopen_channel(connection, err) != 0)
            return -1;
        if (refused) { /* then nobody can tell how it differs */
            ret->unseen = true;
            return 0;
        }
        if (!ret->differs)
            ret->words = words;
        ret->differs = true;
        understood = queue_arguments_learn(&arguments, words.message);
    }
    if (ret->differs)
        judge(&arguments, connection->server_major, ret);
    return 0;
}

static int declare_one(struct broker_connection *connection, const struct queue_wanted *wanted,
                       int64_t deadline_ms, struct queue_difference *ret_difference,
                       struct error *err)
{
    amqp_rpc_reply_t reply = declare(connection, wanted->name, true, amqp_empty_table, deadline_ms);
    bool exists = reply.reply_type == AMQP_RESPONSE_NORMAL;
    if (!exists && !channel_closed_with(reply, AMQP_NOT_FOUND))
        return check(reply, wanted->name, err);
    if (!exists && broker_reopen_channel(connection, err) != 0)
        return -1;
    return declare_or_compare(connection, wanted, exists, deadline_ms, ret_difference, err);
}

int queue_declare(struct broker_connection *connection, const char *queue, enum queue_type type,
                  struct queue_differences *ret_differences, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS;
    if (strlen(queue) + strlen(DEAD_SUFFIX) >= QUEUE_NAME_SIZE) {
        error_set(err, "the queue's name is longer than %zu bytes",
                  QUEUE_NAME_SIZE - sizeof DEAD_SUFFIX);
        return -1;
    }
    char dead[QUEUE_NAME_SIZE];
    dead_letter_queue_name(queue, dead);
    struct queue_differences differences = {.orders = {.differs = false}};
    const struct queue_wanted letters = {.name = dead, .type = type},
                              orders = {.name = queue, .type = type, .dead_letter_queue = dead};
    /* The dead-letter queue first: the broker drops what it dead-letters to a queue that is not
     * there. */
    if (declare_one(connection, &letters, deadline_ms, &differences.letters, err) != 0 ||
        declare_one(connection, &orders, deadline_ms, &differences.orders, err) != 0)
        return -1;
    broker_set_deadline(connection, clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS);
    *ret_differences = differences;
    return 0;
}

int queue_declare_alone(struct broker_connection *connection, const char *queue,
                        enum queue_type type, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS;
    struct queue_difference difference = {.differs = false};
    const struct queue_wanted wanted = {.name = queue, .type = type};
    if (declare_one(connection, &wanted, deadline_ms, &difference, err) != 0)
        return -1;
    broker_set_deadline(connection, clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS);
    return 0;
}

/* How bad it is; 0 when nothing differs. */
static int severity(const struct queue_difference *difference)
{
    return difference->drops_messages ? 3 : difference->delivery_limited ? 2 : difference->differs;
}

bool queue_differences_report(const struct queue_differences *differences, const char *queue,
                              struct error *ret_warning)
{
    const struct queue_difference *orders = &differences->orders, *letters = &differences->letters;
    bool about_letters = severity(letters) > severity(orders);
    const struct queue_difference *worst = about_letters ? letters : orders;
    static const char *const consequences[] = {
        "", "differs from what would be declared, and is kept",
        "gives a message up after 20 deliveries, unless a policy lifts that limit",
        "throws messages away"};
    char label[QUEUE_LABEL_SIZE];
    queue_label(queue, label);
    metric_set(metric_gauge("order_queue_delivery_limited", label,
                            "1 while RabbitMQ may dead-letter orders for being delivered often"),
               orders->delivery_limited);
    metric_set(metric_gauge("dead_letter_queue_delivery_limited", label,
                            "1 while RabbitMQ may drop dead letters for being delivered often"),
               letters->delivery_limited);
    if (!worst->differs)
        return false;
    error_set(ret_warning, "queue %.80s%s %s: %s", queue, about_letters ? DEAD_SUFFIX : "",
              consequences[severity(worst)], worst->words.message);
    return true;
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

/* Escaped as the exposition format wants it; queue_name_validate() lets no line end through. */
void queue_label(const char *queue, char ret_label[QUEUE_LABEL_SIZE])
{
    char *end = stpcpy(ret_label, "queue=\"");
    for (size_t i = 0; i < QUEUE_NAME_SIZE - 1 && queue[i] != '\0'; i++) {
        if (queue[i] == '"' || queue[i] == '\\')
            *end++ = '\\';
        *end++ = queue[i];
    }
    (void)stpcpy(end, "\"");
}

void dead_letter_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE])
{
    (void)snprintf(ret_name, QUEUE_NAME_SIZE, "%.*s" DEAD_SUFFIX,
                   (int)(QUEUE_NAME_SIZE - sizeof DEAD_SUFFIX), queue);
}

void archive_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE])
{
    (void)snprintf(ret_name, QUEUE_NAME_SIZE, "%.*s" DEAD_SUFFIX ARCHIVE_SUFFIX,
                   (int)(QUEUE_NAME_SIZE - sizeof DEAD_SUFFIX ARCHIVE_SUFFIX), queue);
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
