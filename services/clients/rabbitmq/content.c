/* What a delivery holds. One allocation has the content and all of its parts, sized when its head
 * is known; another one the order. Both are as small as can be: thousands are in flight. */
#include "services/clients/rabbitmq/content.h"
#include "proto/order_json.h"
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

bool content_head_is_large(const struct content_head *head)
{
    return head->properties_len > CONTENT_LARGE_BYTES ||
           head->body_size > CONTENT_LARGE_BYTES - head->properties_len;
}

static size_t kept_size(const struct content_head *head)
{
    return head->body_size < CONTENT_KEEP_BYTES ? (size_t)head->body_size : CONTENT_KEEP_BYTES;
}

size_t content_large_bytes(const struct content *content)
{
    return content->large_bytes == NULL ? 0
                                        : content->head.properties_len + kept_size(&content->head);
}

struct content *content_new(const struct content_head *head, size_t *large_bytes)
{
    size_t keep = kept_size(head);
    struct content *content =
        memory_take(sizeof *content + head->properties_len + head->message_id_len +
                    head->exchange_len + head->routing_key_len + head->trace.state_len + keep);
    unsigned char *at = (unsigned char *)(content + 1);
    *content = (struct content){.head = *head};
    content->head.properties = place(&at, head->properties, head->properties_len);
    if (head->message_id != NULL)
        content->head.message_id = place(&at, head->message_id, head->message_id_len);
    content->head.exchange = place(&at, head->exchange, head->exchange_len);
    content->head.routing_key = place(&at, head->routing_key, head->routing_key_len);
    content->head.trace.state = place(&at, head->trace.state, head->trace.state_len);
    content->body = at;
    content->references = 1;
    if (content_head_is_large(head)) {
        content->large_bytes = large_bytes;
        *large_bytes += content_large_bytes(content);
    }
    return content;
}

int content_append(struct content *content, const void *bytes, size_t len)
{
    if (len > content->head.body_size - content->received)
        return -1;
    content->received += len;

    size_t room = CONTENT_KEEP_BYTES - content->body_len;
    size_t kept = len < room ? len : room;
    memcpy(content->body + content->body_len, bytes, kept);
    content->body_len += kept;
    return 0;
}

void content_set_order(struct content *content, const struct order *order)
{
    content->order = memory_take(order_size(order));
    order_copy(content->order, order);
}

void content_set_fault(struct content *content, const char *fault, const struct error *detail)
{
    content->fault = fault;
    content->fault_detail = memory_new(sizeof *content->fault_detail);
    *content->fault_detail = *detail;
}

bool content_complete(const struct content *content)
{
    return content->received == content->head.body_size;
}

struct content *content_ref(struct content *content)
{
    content->references++;
    return content;
}

void content_unref(struct content *content)
{
    if (content == NULL || --content->references > 0)
        return;
    if (content->large_bytes != NULL)
        *content->large_bytes -= content_large_bytes(content);
    free(content->order);
    free(content->fault_detail);
    free(content);
}

/* Decoding */

/* The message_id, when there is one, is the id of the order. */
static void check_message_id(struct content *content)
{
    const struct content_head *head = &content->head;
    struct order_id id;
    struct error detail;
    if (head->message_id == NULL)
        return;
    if (order_id_parse(head->message_id, head->message_id_len, &id) == 0 &&
        order_id_equal(&id, &content->order->id))
        return;
    error_set(&detail, "the message_id is not the id of the order");
    content_set_fault(content, "message_id_mismatch", &detail);
}

void content_decode(struct content *content)
{
    struct order order;
    struct error detail;
    if (content->head.body_size > CONTENT_LARGE_BYTES) {
        error_set(&detail, "the body has %llu bytes, %u are allowed",
                  (unsigned long long)content->head.body_size, CONTENT_LARGE_BYTES);
        content_set_fault(content, "too_large", &detail);
        return;
    }
    switch (order_from_json((const char *)content->body, content->body_len, &order, &detail)) {
    case DECODE_OK:
        content_set_order(content, &order);
        check_message_id(content);
        return;
    case DECODE_MALFORMED:
        content_set_fault(content, "malformed", &detail);
        return;
    case DECODE_UNACCEPTABLE:
        content_set_fault(content, "unacceptable", &detail);
        return;
    }
}
