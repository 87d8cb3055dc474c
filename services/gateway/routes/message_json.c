/* The field types are those of AMQP 0-9-1, 4.2.5.5, in the meaning that RabbitMQ gives to them. */
#include "services/gateway/routes/message_json.h"
#include "proto/timestamp.h"
#include "services/clients/rabbitmq/message_fields.h"
#include "services/gateway/json_answer.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    unsigned values; /* so far */
    bool cut;
};

static json_t *table_json(struct reader *reader, struct field_table table, unsigned depth);
static json_t *array_json(struct reader *reader, struct field_table array, unsigned depth);

static json_t *text_json(struct message_text text)
{
    json_t *json =
        memchr(text.bytes, '\0', text.len) == NULL ? json_stringn(text.bytes, text.len) : NULL;
    if (json == NULL) {
        json = json_object();
        json_add(json, "base64", json_base64(text.bytes, text.len));
    }
    return json;
}

/* A number that JSON's readers take as it is, else a text. */
static json_t *unsigned_json(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_string(text);
}

static uint64_t big_endian(const unsigned char *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

static json_t *real_json(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%g", value);
    return isfinite(value) ? json_real(value) : json_string(text);
}

static json_t *float_json(const struct field *field)
{
    uint64_t bits = big_endian(field->value, field->len);
    uint32_t short_bits = (uint32_t)bits;
    double value;
    float short_value;
    memcpy(&value, &bits, sizeof value);
    memcpy(&short_value, &short_bits, sizeof short_value);
    return real_json(field->len == sizeof(float) ? (double)short_value : value);
}

/* Seconds since 1970, they say; some mean milliseconds. */
static json_t *seconds_json(uint64_t seconds)
{
    char text[TIMESTAMP_TEXT_SIZE];
    if (seconds > (uint64_t)TIMESTAMP_MAX_US / 1000000)
        return unsigned_json(seconds);
    (void)timestamp_format((int64_t)seconds * 1000000, text);
    return json_string(text);
}

/* How many decimals, and an integer: "12e-2". */
static json_t *decimal_json(const struct field *field)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId32 "e-%u", (int32_t)big_endian(field->value + 1, 4),
             field->value[0]);
    return json_string(text);
}

static json_t *value_json(struct reader *reader, const struct field *field, unsigned depth)
{
    int64_t integer;
    if (++reader->values > MESSAGE_JSON_MAX_VALUES ||
        (depth >= MESSAGE_JSON_MAX_DEPTH && (field->type == 'F' || field->type == 'A'))) {
        reader->cut = true;
        return NULL;
    }
    switch (field->type) {
    case 'S':
    case 'x':
        return text_json(field_text(field));
    case 'F':
        return table_json(reader, field_inner(field), depth + 1);
    case 'A':
        return array_json(reader, field_inner(field), depth + 1);
    case 't':
        return json_boolean(field_is_true(field));
    case 'f':
    case 'd':
        return float_json(field);
    case 'D':
        return decimal_json(field);
    case 'T':
        return seconds_json(big_endian(field->value, field->len));
    case 'V':
        return NULL;
    default:
        return field_integer(field, &integer) ? json_integer(integer)
                                              : unsigned_json(big_endian(field->value, field->len));
    }
}

/* Add a member whose name may be any bytes; of several of one name the last stays. */
static void add_field(json_t *object, const struct field *field, json_t *value)
{
    char name[256]; /* a short string has at most 255 bytes */
    size_t len = field->name.len < sizeof name ? field->name.len : sizeof name - 1;
    for (size_t i = 0; i < len; i++)
        name[i] = field->name.bytes[i] != '\0' ? field->name.bytes[i] : '?';
    name[len] = '\0';
    if (value == NULL)
        value = json_null();
    if (json_object_set(object, name, value) != 0) { /* it is no UTF-8 */
        for (size_t i = 0; i < len; i++)
            name[i] = (unsigned char)name[i] < 0x80 ? name[i] : '?';
        json_add(object, name, json_incref(value));
    }
    json_decref(value);
}

static json_t *table_json(struct reader *reader, struct field_table table, unsigned depth)
{
    json_t *object = json_object();
    struct field field;
    int next = 0;
    while (reader->values <= MESSAGE_JSON_MAX_VALUES &&
           (next = field_table_next(&table, &field)) == 1)
        add_field(object, &field, value_json(reader, &field, depth));
    reader->cut |= next != 0;
    return object;
}

static json_t *array_json(struct reader *reader, struct field_table array, unsigned depth)
{
    json_t *list = json_array();
    struct field field;
    int next = 0;
    while (reader->values <= MESSAGE_JSON_MAX_VALUES &&
           (next = field_array_next(&array, &field)) == 1) {
        json_t *value = value_json(reader, &field, depth);
        if (json_array_append_new(list, value != NULL ? value : json_null()) != 0)
            abort(); /* out of memory */
    }
    reader->cut |= next != 0;
    return list;
}

json_t *message_json(const void *bytes, size_t len)
{
    struct reader reader = {.values = 0};
    struct message_properties properties;
    reader.cut = message_properties_read(bytes, len, &properties) != 0;
    const struct {
        const char *name;
        struct message_text text;
    } texts[] = {
        {"content_type", properties.content_type},
        {"content_encoding", properties.content_encoding},
        {"correlation_id", properties.correlation_id},
        {"reply_to", properties.reply_to},
        {"expiration", properties.expiration},
        {"message_id", properties.message_id},
        {"type", properties.type},
        {"user_id", properties.user_id},
        {"app_id", properties.app_id},
        {"cluster_id", properties.cluster_id},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].text.bytes != NULL)
            json_add(object, texts[i].name, text_json(texts[i].text));
    if (properties.delivery_mode >= 0)
        json_add_number(object, "delivery_mode", properties.delivery_mode);
    if (properties.priority >= 0)
        json_add_number(object, "priority", properties.priority);
    if (properties.has_timestamp)
        json_add(object, "timestamp", seconds_json(properties.timestamp));
    if (properties.headers.bytes != NULL)
        json_add(object, "headers", table_json(&reader, properties.headers, 0));
    if (reader.cut)
        json_add(object, "cut", json_true());
    return object;
}
