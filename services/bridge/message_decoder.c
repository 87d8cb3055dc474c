#include "services/bridge/message_decoder.h"
#include "proto/order_json.h"

/* The id of the message, when there is one, is that of the order. */
static void check_message_id(struct message *message)
{
    const struct message_head *head = &message->head;
    struct order_id id;
    if (head->message_id == NULL)
        return;
    if (order_id_parse(head->message_id, head->message_id_len, &id) == 0 &&
        order_id_equal(&id, &message->order->id))
        return;
    message->fault = "message_id_mismatch";
    error_set(&message->fault_detail, "the message_id is not the id of the order");
}

void message_decode(struct message *message)
{
    if (message->head.body_size > MESSAGE_LARGE_BYTES) {
        message->fault = "too_large";
        error_set(&message->fault_detail, "the body has %llu bytes, %u are allowed",
                  (unsigned long long)message->head.body_size, MESSAGE_LARGE_BYTES);
        return;
    }
    struct order order;
    switch (order_from_json((const char *)message->body, message->body_len, &order,
                            &message->fault_detail)) {
    case DECODE_OK:
        message_set_order(message, &order);
        check_message_id(message);
        return;
    case DECODE_MALFORMED:
        message->fault = "malformed";
        return;
    case DECODE_UNACCEPTABLE:
        message->fault = "unacceptable";
        return;
    }
}
