/* Every value tells its own length, so a table inside of another is stepped over, not entered. */
#include "services/clients/rabbitmq/message_fields.h"
#include <string.h>

/* Unsigned, big-endian. */
static uint64_t number(const unsigned char *bytes, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Returns the bytes, or NULL when there are fewer. */
static const unsigned char *take(struct field_table *rest, size_t len)
{
    const unsigned char *bytes = rest->bytes;
    if (len > rest->len)
        return NULL;
    rest->bytes += len;
    rest->len -= len;
    return bytes;
}

static bool take_number(struct field_table *rest, size_t width, uint64_t *ret)
{
    const unsigned char *bytes = take(rest, width);
    if (bytes != NULL)
        *ret = number(bytes, width);
    return bytes != NULL;
}

/* A length of `width` bytes, and so many bytes. */
static const unsigned char *take_counted(struct field_table *rest, size_t width, size_t *ret_len)
{
    uint64_t len = 0;
    if (!take_number(rest, width, &len))
        return NULL;
    *ret_len = (size_t)len;
    return take(rest, (size_t)len);
}

static bool take_text(struct field_table *rest, struct message_text *ret)
{
    struct message_text text = {.len = 0};
    text.bytes = (const char *)take_counted(rest, 1, &text.len);
    if (text.bytes != NULL)
        *ret = text;
    return text.bytes != NULL;
}

static int take_value(struct field_table *rest, struct field *ret)
{
    const unsigned char *type = take(rest, 1);
    if (type == NULL)
        return -1;
    ret->type = (char)*type;
    switch (*type) {
    case 'V':
        ret->len = 0;
        break;
    case 't':
    case 'b':
    case 'B':
        ret->len = 1;
        break;
    case 's':
    case 'u':
        ret->len = 2;
        break;
    case 'I':
    case 'i':
    case 'f':
        ret->len = 4;
        break;
    case 'D':
        ret->len = 5;
        break;
    case 'l':
    case 'L':
    case 'd':
    case 'T':
        ret->len = 8;
        break;
    case 'S':
    case 'x':
    case 'A':
    case 'F':
        ret->value = take_counted(rest, 4, &ret->len);
        return ret->value != NULL ? 1 : -1;
    default:
        return -1; /* its length is not known, so nothing after it can be read */
    }
    ret->value = take(rest, ret->len);
    return ret->value != NULL ? 1 : -1;
}

int field_table_next(struct field_table *table, struct field *ret)
{
    *ret = (struct field){.len = 0};
    if (table->len == 0)
        return 0;
    return take_text(table, &ret->name) ? take_value(table, ret) : -1;
}

int field_array_next(struct field_table *array, struct field *ret)
{
    *ret = (struct field){.len = 0};
    return array->len == 0 ? 0 : take_value(array, ret);
}

bool message_text_is(struct message_text text, const char *other)
{
    return text.bytes != NULL && text.len == strlen(other) &&
           memcmp(text.bytes, other, text.len) == 0;
}

bool field_table_find(struct field_table table, const char *name, struct field *ret)
{
    while (field_table_next(&table, ret) == 1)
        if (message_text_is(ret->name, name))
            return true;
    return false;
}

bool field_integer(const struct field *field, int64_t *ret)
{
    uint64_t value = 0;
    if (field->value != NULL && field->len <= sizeof value)
        value = number(field->value, field->len);
    switch (field->type) {
    case 'b':
        *ret = (int8_t)value;
        return true;
    case 's':
        *ret = (int16_t)value;
        return true;
    case 'I':
        *ret = (int32_t)value;
        return true;
    case 'l':
        *ret = (int64_t)value;
        return true;
    case 'B':
    case 'u':
    case 'i':
    case 'L':
    case 'T':
        *ret = (int64_t)value;
        return value <= INT64_MAX;
    default:
        return false;
    }
}

bool field_is_true(const struct field *field)
{
    return field->type == 't' && field->value[0] != 0;
}

struct message_text field_text(const struct field *field)
{
    struct message_text text = {.bytes = NULL};
    if (field->type == 'S' || field->type == 'x')
        text = (struct message_text){.bytes = (const char *)field->value, .len = field->len};
    return text;
}

struct field_table field_inner(const struct field *field)
{
    struct field_table inner = {.bytes = NULL};
    if (field->type == 'F' || field->type == 'A')
        inner = (struct field_table){.bytes = field->value, .len = field->len};
    return inner;
}

/* Properties */

enum { /* bits of the flags, in the order in which the values stand */
       CONTENT_TYPE = 1 << 15,
       CONTENT_ENCODING = 1 << 14,
       HEADERS = 1 << 13,
       DELIVERY_MODE = 1 << 12,
       PRIORITY = 1 << 11,
       CORRELATION_ID = 1 << 10,
       REPLY_TO = 1 << 9,
       EXPIRATION = 1 << 8,
       MESSAGE_ID = 1 << 7,
       TIMESTAMP = 1 << 6,
       TYPE = 1 << 5,
       USER_ID = 1 << 4,
       APP_ID = 1 << 3,
       CLUSTER_ID = 1 << 2,
       MORE_FLAGS = 1 << 0,
};

static bool take_octet(struct field_table *rest, int *ret)
{
    const unsigned char *byte = take(rest, 1);
    if (byte != NULL)
        *ret = *byte;
    return byte != NULL;
}

int message_properties_read(const void *bytes, size_t len, struct message_properties *ret)
{
    struct field_table rest = {.bytes = bytes, .len = len};
    *ret = (struct message_properties){.delivery_mode = -1, .priority = -1};
    uint64_t flags = 0, more = 0;
    if (!take_number(&rest, 2, &flags))
        return -1;
    for (more = flags; more & MORE_FLAGS;) /* none is defined for the words after the first */
        if (!take_number(&rest, 2, &more))
            return -1;
    if (flags & CONTENT_TYPE && !take_text(&rest, &ret->content_type))
        return -1;
    if (flags & CONTENT_ENCODING && !take_text(&rest, &ret->content_encoding))
        return -1;
    if (flags & HEADERS) {
        size_t headers_len = 0;
        const unsigned char *headers = take_counted(&rest, 4, &headers_len);
        if (headers == NULL)
            return -1;
        ret->headers = (struct field_table){.bytes = headers, .len = headers_len};
    }
    if (flags & DELIVERY_MODE && !take_octet(&rest, &ret->delivery_mode))
        return -1;
    if (flags & PRIORITY && !take_octet(&rest, &ret->priority))
        return -1;
    if (flags & CORRELATION_ID && !take_text(&rest, &ret->correlation_id))
        return -1;
    if (flags & REPLY_TO && !take_text(&rest, &ret->reply_to))
        return -1;
    if (flags & EXPIRATION && !take_text(&rest, &ret->expiration))
        return -1;
    if (flags & MESSAGE_ID && !take_text(&rest, &ret->message_id))
        return -1;
    if (flags & TIMESTAMP && !(ret->has_timestamp = take_number(&rest, 8, &ret->timestamp)))
        return -1;
    if (flags & TYPE && !take_text(&rest, &ret->type))
        return -1;
    if (flags & USER_ID && !take_text(&rest, &ret->user_id))
        return -1;
    if (flags & APP_ID && !take_text(&rest, &ret->app_id))
        return -1;
    if (flags & CLUSTER_ID && !take_text(&rest, &ret->cluster_id))
        return -1;
    return 0;
}
