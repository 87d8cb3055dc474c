/* Reads one content at a time; the frames of a channel never mix contents. */
#include "services/clients/rabbitmq/content_reader.h"
#include <string.h>

void content_reader_init(struct content_reader *reader, struct content_budget *budget)
{
    *reader = (struct content_reader){.state = CONTENT_NONE, .budget = budget};
}

void content_reader_release(struct content_reader *reader)
{
    content_reader_reset(reader);
}

/* The content is complete, or will never be. */
static void end_reading(struct content_reader *reader)
{
    struct content_budget *budget = reader->budget;
    if (reader->content != NULL)
        budget->half_bytes -= content_large_bytes(reader->content);
    if (budget->first == reader)
        budget->first = NULL;
    reader->content = NULL;
    reader->state = CONTENT_NONE;
}

void content_reader_reset(struct content_reader *reader)
{
    struct content *content = reader->content;
    end_reading(reader);
    content_unref(content);
}

bool content_reader_must_wait(struct content_reader *reader)
{
    struct content_budget *budget = reader->budget;
    size_t own_bytes = reader->state == CONTENT_BODY ? content_large_bytes(reader->content) : 0;
    if (own_bytes == 0)
        return false;
    if (budget->first == NULL)
        budget->first = reader;
    size_t before = budget->large_bytes -
                    (budget->first == reader ? budget->half_bytes : own_bytes); /* it waits for */
    return before > 0 && before + own_bytes > budget->limit_bytes;
}

static size_t copy_short(char to[255], amqp_bytes_t from)
{
    size_t len = from.len <= 255 ? from.len : 255;
    if (len > 0)
        memcpy(to, from.bytes, len);
    return len;
}

int content_reader_begin(struct content_reader *reader, const amqp_basic_deliver_t *deliver,
                         struct error *err)
{
    if (reader->state != CONTENT_NONE) {
        error_set(err, "the broker sent half a content");
        return -1;
    }
    reader->delivery_tag = deliver->delivery_tag;
    reader->redelivered = deliver->redelivered != 0;
    reader->exchange_len = copy_short(reader->exchange, deliver->exchange);
    reader->routing_key_len = copy_short(reader->routing_key, deliver->routing_key);
    reader->state = CONTENT_HEADER;
    return 0;
}

/* The first field of this name; empty when that is no text. */
static amqp_bytes_t header_text(const amqp_table_t *headers, const char *name)
{
    size_t name_len = strlen(name);
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *entry = &headers->entries[i];
        if (entry->key.len != name_len || memcmp(entry->key.bytes, name, name_len) != 0)
            continue;
        bool text =
            entry->value.kind == AMQP_FIELD_KIND_UTF8 || entry->value.kind == AMQP_FIELD_KIND_BYTES;
        return text ? entry->value.value.bytes : amqp_empty_bytes;
    }
    return amqp_empty_bytes;
}

static struct trace_context trace_of(const amqp_basic_properties_t *properties)
{
    if (!(properties->_flags & AMQP_BASIC_HEADERS_FLAG))
        return trace_context_begin();
    amqp_bytes_t parent = header_text(&properties->headers, "traceparent"),
                 state = header_text(&properties->headers, "tracestate");
    return trace_context_read(parent.bytes, parent.len, state.bytes, state.len);
}

static void add_header(struct content_reader *reader, const amqp_frame_t *frame)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    struct content_head head = {
        .body_size = frame->payload.properties.body_size,
        .properties = frame->payload.properties.raw.bytes,
        .properties_len = frame->payload.properties.raw.len,
        .exchange = reader->exchange,
        .exchange_len = reader->exchange_len,
        .routing_key = reader->routing_key,
        .routing_key_len = reader->routing_key_len,
        .trace = trace_of(properties),
        .redelivered = reader->redelivered,
    };
    if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) {
        head.message_id_len = properties->message_id.len;
        head.message_id = head.message_id_len > 0 ? properties->message_id.bytes : "";
    }
    reader->content = content_new(&head, &reader->budget->large_bytes);
    reader->budget->half_bytes += content_large_bytes(reader->content);
    reader->state = CONTENT_BODY;
}

int content_reader_add(struct content_reader *reader, const amqp_frame_t *frame,
                       struct content **ret_content, uint64_t *ret_delivery_tag, struct error *err)
{
    *ret_content = NULL;
    if (reader->state == CONTENT_HEADER && frame->frame_type == AMQP_FRAME_HEADER &&
        frame->payload.properties.class_id == AMQP_BASIC_CLASS) {
        add_header(reader, frame);
    } else if (reader->state == CONTENT_BODY && frame->frame_type == AMQP_FRAME_BODY) {
        if (content_append(reader->content, frame->payload.body_fragment.bytes,
                           frame->payload.body_fragment.len) != 0) {
            error_set(err, "the broker sent more of a body than it announced");
            return -1;
        }
    } else {
        error_set(err, "the broker sent a frame out of turn");
        return -1;
    }

    if (content_complete(reader->content)) {
        *ret_content = reader->content;
        *ret_delivery_tag = reader->delivery_tag;
        end_reading(reader);
    }
    return 0;
}
