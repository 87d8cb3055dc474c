/* One allocation holds the message and all of its parts, sized when its head is known; another one
 * the order. Both are as small as can be: thousands of messages are in flight. */
#include "services/bridge/message.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

static const void *place(unsigned char **at, const void *bytes, size_t len)
{
    const void *here = *at;
    if (len > 0)
        memcpy(*at, bytes, len);
    *at += len;
    return here;
}

bool message_head_is_large(const struct message_head *head)
{
    return head->properties_len > MESSAGE_LARGE_BYTES ||
           head->body_size > MESSAGE_LARGE_BYTES - head->properties_len;
}

static size_t kept_size(const struct message_head *head)
{
    return head->body_size < MESSAGE_KEEP_BYTES ? (size_t)head->body_size : MESSAGE_KEEP_BYTES;
}

static size_t large_size(const struct message *message)
{
    return message->head.properties_len + kept_size(&message->head);
}

struct message *message_new(const struct message_head *head, size_t *large_bytes)
{
    size_t keep = kept_size(head);
    struct message *message =
        memory_take(sizeof *message + head->properties_len + head->message_id_len +
                    head->exchange_len + head->routing_key_len + keep);
    unsigned char *at = (unsigned char *)(message + 1);
    *message = (struct message){.head = *head};
    message->head.properties = place(&at, head->properties, head->properties_len);
    if (head->message_id != NULL)
        message->head.message_id = place(&at, head->message_id, head->message_id_len);
    message->head.exchange = place(&at, head->exchange, head->exchange_len);
    message->head.routing_key = place(&at, head->routing_key, head->routing_key_len);
    message->body = at;
    message->references = 1;
    if (message_head_is_large(head)) {
        message->large_bytes = large_bytes;
        *large_bytes += large_size(message);
    }
    return message;
}

int message_append(struct message *message, const void *bytes, size_t len)
{
    if (len > message->head.body_size - message->received)
        return -1;
    message->received += len;

    size_t room = MESSAGE_KEEP_BYTES - message->body_len;
    size_t kept = len < room ? len : room;
    memcpy(message->body + message->body_len, bytes, kept);
    message->body_len += kept;
    return 0;
}

void message_set_order(struct message *message, const struct order *order)
{
    message->order = memory_take(order_size(order));
    order_copy(message->order, order);
}

bool message_complete(const struct message *message)
{
    return message->received == message->head.body_size;
}

struct message *message_ref(struct message *message)
{
    message->references++;
    return message;
}

void message_unref(struct message *message)
{
    if (message == NULL || --message->references > 0)
        return;
    if (message->large_bytes != NULL)
        *message->large_bytes -= large_size(message);
    free(message->order);
    free(message);
}
