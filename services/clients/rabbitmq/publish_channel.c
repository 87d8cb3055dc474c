/* Frames are taken one by one: librabbitmq's own reader of returned messages waits without a
 * deadline. */
#include "services/clients/rabbitmq/publish_channel.h"
#include "services/clients/rabbitmq/publisher.h"
#include <string.h>
#include <sys/time.h>

#define PERSISTENT 2 /* delivery-mode, AMQP 0-9-1 */

void publish_channel_init(struct publish_channel *channel,
                          const struct broker_connection *connection)
{
    *channel = (struct publish_channel){.connection = *connection, .returning = RETURN_NONE};
}

int publish_channel_send(struct publish_channel *channel, const struct publish_request *request,
                         struct error *err)
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
    amqp_bytes_t body = {.len = request->body_len, .bytes = (void *)(uintptr_t)request->body};
    int status = amqp_basic_publish(channel->connection.amqp, BROKER_CHANNEL, amqp_empty_bytes,
                                    amqp_cstring_bytes(request->routing_key), /* mandatory */ 1,
                                    /* immediate */ 0, &properties, body);
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "cannot publish: %s", amqp_error_string2(status));
    return -1;
}

static size_t copy_name(char to[PUBLISH_NAME_SIZE], amqp_bytes_t from)
{
    size_t len = from.len < PUBLISH_NAME_SIZE ? from.len : PUBLISH_NAME_SIZE;
    if (len > 0)
        memcpy(to, from.bytes, len);
    return len;
}

static void lost(struct publish_event *event, const char *reason)
{
    event->kind = PUBLISH_EVENT_LOST;
    error_set(&event->reason, "%s", reason);
}

static void closed(struct publish_event *event, const char *what, unsigned code, amqp_bytes_t text)
{
    event->kind = PUBLISH_EVENT_LOST;
    error_set(&event->reason, "%s closed by the broker: %u %.*s", what, code,
              text.len > 150 ? 150 : (int)text.len, (const char *)text.bytes);
}

static void take_method(struct publish_channel *channel, const amqp_method_t *method,
                        struct publish_event *event)
{
    if (channel->returning != RETURN_NONE && method->id != AMQP_CONNECTION_CLOSE_METHOD &&
        method->id != AMQP_CONNECTION_BLOCKED_METHOD &&
        method->id != AMQP_CONNECTION_UNBLOCKED_METHOD) {
        lost(event, "the broker sent half a returned message");
        return;
    }
    switch (method->id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        event->kind = PUBLISH_EVENT_ACK;
        event->tag = ack->delivery_tag;
        event->multiple = ack->multiple;
        return;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        event->kind = PUBLISH_EVENT_NACK;
        event->tag = nack->delivery_tag;
        event->multiple = nack->multiple;
        return;
    }
    case AMQP_BASIC_RETURN_METHOD: {
        const amqp_basic_return_t *returned = method->decoded;
        channel->returned = (struct publish_event){.kind = PUBLISH_EVENT_RETURN};
        channel->returned.routing_key_len =
            copy_name(channel->returned.routing_key, returned->routing_key);
        channel->returning = RETURN_HEADER;
        return;
    }
    case AMQP_QUEUE_DECLARE_OK_METHOD: {
        const amqp_queue_declare_ok_t *queue = method->decoded;
        event->kind = PUBLISH_EVENT_QUEUE;
        event->routing_key_len = copy_name(event->routing_key, queue->queue);
        event->messages = queue->message_count;
        event->consumers = queue->consumer_count;
        return;
    }
    case AMQP_CONNECTION_BLOCKED_METHOD: {
        const amqp_connection_blocked_t *blocked = method->decoded;
        event->kind = PUBLISH_EVENT_BLOCKED;
        error_set(&event->reason, "blocked by the broker: %.*s",
                  blocked->reason.len > 150 ? 150 : (int)blocked->reason.len,
                  (const char *)blocked->reason.bytes);
        return;
    }
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        event->kind = PUBLISH_EVENT_UNBLOCKED;
        return;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        const amqp_channel_close_t *close = method->decoded;
        closed(event, "channel", close->reply_code, close->reply_text);
        if (close->reply_code == AMQP_NOT_FOUND)
            event->kind = PUBLISH_EVENT_GONE;
        return;
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
        const amqp_connection_close_t *close = method->decoded;
        closed(event, "connection", close->reply_code, close->reply_text);
        return;
    }
    default:
        lost(event, "the broker sent an unexpected method");
        return;
    }
}

/* A complete return becomes the event. */
static void take_content(struct publish_channel *channel, const amqp_frame_t *frame,
                         struct publish_event *event)
{
    struct publish_event *returned = &channel->returned;
    if (channel->returning == RETURN_HEADER && frame->frame_type == AMQP_FRAME_HEADER) {
        const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
        if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
            returned->message_id_len = copy_name(returned->message_id, properties->message_id);
        channel->return_body_left = frame->payload.properties.body_size;
        channel->returning = RETURN_BODY;
    } else if (channel->returning == RETURN_BODY && frame->frame_type == AMQP_FRAME_BODY &&
               frame->payload.body_fragment.len <= channel->return_body_left) {
        channel->return_body_left -= frame->payload.body_fragment.len;
    } else {
        lost(event, "the broker sent an unexpected frame");
        return;
    }
    if (channel->return_body_left == 0) {
        channel->returning = RETURN_NONE;
        *event = *returned;
    }
}

void publish_channel_read(struct publish_channel *channel, struct publish_event *ret_event)
{
    amqp_connection_state_t amqp = channel->connection.amqp;
    *ret_event = (struct publish_event){.kind = PUBLISH_EVENT_NONE};
    while (ret_event->kind == PUBLISH_EVENT_NONE) {
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(amqp, &frame, &(struct timeval){0});
        if (status == AMQP_STATUS_TIMEOUT)
            return;
        if (status != AMQP_STATUS_OK) {
            lost(ret_event, amqp_error_string2(status));
            return;
        }
        if (frame.frame_type == AMQP_FRAME_METHOD)
            take_method(channel, &frame.payload.method, ret_event);
        else
            take_content(channel, &frame, ret_event);
        /* Whatever was needed of the frame is copied; without this, memory grows. */
        amqp_maybe_release_buffers_on_channel(amqp, frame.channel);
    }
}
