/* Messages as frames. Of a returned message only the names are kept. */
#include "services/clients/rabbitmq/publish_message.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/publisher.h"
#include <string.h>

#define PERSISTENT 2 /* delivery-mode, AMQP 0-9-1 */

amqp_basic_publish_t publish_method(const struct publish_request *request)
{
    return (amqp_basic_publish_t){
        .routing_key = amqp_cstring_bytes(request->routing_key),
        .mandatory = 1,
    };
}

amqp_basic_properties_t publish_properties(const struct publish_request *request)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG,
        .delivery_mode = PERSISTENT,
        .content_type = amqp_cstring_bytes(request->content_type),
    };
    if (request->message_id) {
        properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
        properties.message_id = amqp_cstring_bytes(request->message_id);
    }
    if (request->headers) {
        properties._flags |= AMQP_BASIC_HEADERS_FLAG;
        properties.headers = *request->headers;
    }
    return properties;
}

int publish_message(amqp_connection_state_t amqp, const struct publish_request *request)
{
    amqp_basic_publish_t method = publish_method(request);
    amqp_basic_properties_t properties = publish_properties(request);
    amqp_bytes_t body = {.len = request->body_len, .bytes = (void *)(uintptr_t)request->body};
    return amqp_basic_publish(amqp, BROKER_CHANNEL, method.exchange, method.routing_key,
                              method.mandatory, method.immediate, &properties, body);
}

static size_t copy_name(char to[RETURNED_NAME_SIZE], amqp_bytes_t from)
{
    size_t len = from.len < RETURNED_NAME_SIZE ? from.len : RETURNED_NAME_SIZE;
    if (len > 0)
        memcpy(to, from.bytes, len);
    return len;
}

int returned_message_add(struct returned_message *message, const amqp_frame_t *frame,
                         bool *ret_complete, struct error *err)
{
    *ret_complete = false;
    if (message->state == RETURN_NONE && frame->frame_type == AMQP_FRAME_METHOD &&
        frame->payload.method.id == AMQP_BASIC_RETURN_METHOD) {
        const amqp_basic_return_t *returned = frame->payload.method.decoded;
        message->routing_key_len = copy_name(message->routing_key, returned->routing_key);
        message->message_id_len = 0;
        message->state = RETURN_HEADER;
        return 0;
    }
    if (message->state == RETURN_HEADER && frame->frame_type == AMQP_FRAME_HEADER) {
        const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
        if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
            message->message_id_len = copy_name(message->message_id, properties->message_id);
        message->body_left = frame->payload.properties.body_size;
        message->state = RETURN_BODY;
    } else if (message->state == RETURN_BODY && frame->frame_type == AMQP_FRAME_BODY &&
               frame->payload.body_fragment.len <= message->body_left) {
        message->body_left -= frame->payload.body_fragment.len;
    } else {
        error_set(err, "the broker sent an unexpected frame or method");
        return -1;
    }
    *ret_complete = message->body_left == 0;
    if (*ret_complete)
        message->state = RETURN_NONE;
    return 0;
}

bool returned_message_is_for(const struct returned_message *message, const char *queue)
{
    return message->routing_key_len == strlen(queue) &&
           memcmp(message->routing_key, queue, message->routing_key_len) == 0;
}
