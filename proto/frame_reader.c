/* msgpack-c's unpacker is a template: its parser calls back for each value, and what becomes of the
 * values is the includer's. Its usual instance, msgpack_unpack_next(), builds a tree and believes
 * every declared count when it allocates (an array32 header of 5 bytes asks for 137 GB); this one
 * appends to a fixed list and refuses what does not fit or is not in our frames. */
#include "proto/frame_reader.h"
#include <string.h>

#define MSGPACK_EMBED_STACK_SIZE 4 /* nesting; ours is 3: frame, items, item */
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

struct no_object {
    char nothing; /* the list below takes the place of the template's tree */
};

#define msgpack_unpack_struct(name) struct parser##name
#define msgpack_unpack_func(type, name) static inline type parser##name
#define msgpack_unpack_callback(name) on##name
#define msgpack_unpack_object struct no_object
#define msgpack_unpack_user struct frame_reader *

static struct no_object on_root(struct frame_reader **reader)
{
    (void)reader;
    return (struct no_object){0};
}

static int append(struct frame_reader *reader, const struct frame_value *value)
{
    if (reader->count == FRAME_MAX_VALUES)
        return -1;
    reader->values[reader->count++] = *value;
    return 0;
}

static int append_unsigned(struct frame_reader *reader, uint64_t number)
{
    return append(reader, &(struct frame_value){.kind = VALUE_UNSIGNED, .number = number});
}

static int append_signed(struct frame_reader *reader, int64_t number)
{
    if (number >= 0)
        return append_unsigned(reader, (uint64_t)number);
    return append(reader, &(struct frame_value){.kind = VALUE_NEGATIVE, .negative = number});
}

#define ON_NUMBER(name, type, append_number)                                                       \
    static int on_##name(struct frame_reader **reader, type number, struct no_object *object)      \
    {                                                                                              \
        *object = (struct no_object){0};                                                           \
        return append_number(*reader, number);                                                     \
    }
ON_NUMBER(uint8, uint8_t, append_unsigned)
ON_NUMBER(uint16, uint16_t, append_unsigned)
ON_NUMBER(uint32, uint32_t, append_unsigned)
ON_NUMBER(uint64, uint64_t, append_unsigned)
ON_NUMBER(int8, int8_t, append_signed)
ON_NUMBER(int16, int16_t, append_signed)
ON_NUMBER(int32, int32_t, append_signed)
ON_NUMBER(int64, int64_t, append_signed)

/* The parser has no position for a run of no bytes. */
#define ON_RUN_OF_BYTES(name, value_kind)                                                          \
    static int on_##name(struct frame_reader **reader, const char *frame, const char *bytes,       \
                         unsigned len_bytes, struct no_object *object)                             \
    {                                                                                              \
        *object = (struct no_object){0};                                                           \
        return append(*reader, &(struct frame_value){                                              \
                                   .kind = (value_kind),                                           \
                                   .len_bytes = len_bytes,                                         \
                                   .bytes = (const uint8_t *)(len_bytes == 0 ? frame : bytes)});   \
    }
ON_RUN_OF_BYTES(bin, VALUE_BYTES)
ON_RUN_OF_BYTES(str, VALUE_TEXT)

static int on_array(struct frame_reader **reader, unsigned count, struct no_object *object)
{
    *object = (struct no_object){0};
    if (count >= FRAME_MAX_VALUES - (*reader)->count)
        return -1;
    return append(*reader, &(struct frame_value){.kind = VALUE_ARRAY, .number = count});
}

static int on_array_item(struct frame_reader **reader, struct no_object *array,
                         struct no_object item)
{
    (void)reader, (void)array, (void)item; /* the list has it already */
    return 0;
}

/* What our frames do not have. */
#define REFUSE(name, ...)                                                                          \
    static int on_##name(__VA_ARGS__)                                                              \
    {                                                                                              \
        return -1;                                                                                 \
    }
#define UNUSED __attribute__((unused))
REFUSE(nil, struct frame_reader **r UNUSED, struct no_object *o UNUSED)
REFUSE(true, struct frame_reader **r UNUSED, struct no_object *o UNUSED)
REFUSE(false, struct frame_reader **r UNUSED, struct no_object *o UNUSED)
REFUSE(float, struct frame_reader **r UNUSED, float f UNUSED, struct no_object *o UNUSED)
REFUSE(double, struct frame_reader **r UNUSED, double d UNUSED, struct no_object *o UNUSED)
REFUSE(map, struct frame_reader **r UNUSED, unsigned n UNUSED, struct no_object *o UNUSED)
REFUSE(map_item, struct frame_reader **r UNUSED, struct no_object *o UNUSED,
       struct no_object k UNUSED, struct no_object v UNUSED)
REFUSE(ext, struct frame_reader **r UNUSED, const char *f UNUSED, const char *b UNUSED,
       unsigned n UNUSED, struct no_object *o UNUSED)

#include <msgpack/unpack_template.h>

static int read_values(struct frame_reader *reader, const uint8_t *frame, size_t len_bytes,
                       struct error *err)
{
    if (len_bytes > FRAME_MAX_BYTES) {
        error_set(err, "message of %zu bytes, more than %d", len_bytes, FRAME_MAX_BYTES);
        return -1;
    }
    struct parser_context parser = {.user = reader};
    size_t offset = 0;
    reader->count = reader->next = 0;
    parser_init(&parser);
    int result = parser_execute(&parser, (const char *)frame, len_bytes, &offset);
    if (result > 0 && offset == len_bytes)
        return 0;
    error_set(err, "message %s byte %zu",
              result < 0    ? "with an unexpected value at"
              : result == 0 ? "cut short at"
                            : "with trailing bytes from",
              offset);
    return -1;
}

static const struct frame_value *take(struct frame_reader *reader, enum frame_value_kind kind)
{
    if (reader->next == reader->count || reader->values[reader->next].kind != kind)
        return NULL;
    return &reader->values[reader->next++];
}

static bool take_number(struct frame_reader *reader, enum frame_value_kind kind, uint64_t min,
                        uint64_t max, uint64_t *ret)
{
    const struct frame_value *value = take(reader, kind);
    if (value == NULL || value->number < min || value->number > max)
        return false;
    *ret = value->number;
    return true;
}

bool frame_read_array(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret_count)
{
    return take_number(reader, VALUE_ARRAY, min, max, ret_count);
}

bool frame_read_unsigned(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret)
{
    return take_number(reader, VALUE_UNSIGNED, min, max, ret);
}

bool frame_read_signed(struct frame_reader *reader, int64_t min, int64_t max, int64_t *ret)
{
    const struct frame_value *value = take(reader, VALUE_NEGATIVE);
    int64_t number;
    if (value != NULL)
        number = value->negative;
    else if ((value = take(reader, VALUE_UNSIGNED)) != NULL && value->number <= INT64_MAX)
        number = (int64_t)value->number;
    else
        return false;
    if (number < min || number > max)
        return false;
    *ret = number;
    return true;
}

bool frame_read_bytes(struct frame_reader *reader, uint8_t *ret, size_t len_bytes)
{
    const struct frame_value *value = take(reader, VALUE_BYTES);
    if (value == NULL || value->len_bytes != len_bytes)
        return false;
    memcpy(ret, value->bytes, len_bytes);
    return true;
}

bool frame_read_text(struct frame_reader *reader, size_t max_bytes, const char **ret,
                     size_t *ret_len_bytes)
{
    const struct frame_value *value = take(reader, VALUE_TEXT);
    if (value == NULL || value->len_bytes > max_bytes)
        return false;
    *ret = (const char *)value->bytes;
    *ret_len_bytes = value->len_bytes;
    return true;
}

bool frame_printable(char c)
{
    return c >= ' ' && c <= '~';
}

bool frame_read_printable(struct frame_reader *reader, char *ret, size_t size)
{
    const char *text;
    size_t len;
    if (!frame_read_text(reader, size - 1, &text, &len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!frame_printable(text[i]))
            return false;
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

int frame_reader_begin(struct frame_reader *reader, const uint8_t *frame, size_t len_bytes,
                       enum frame_kind kind, size_t values, struct error *err)
{
    if (read_values(reader, frame, len_bytes, err) != 0)
        return -1;

    /* The version first, on its own: what follows it may look different in another one. */
    uint64_t count, version, number;
    if (!frame_read_array(reader, 1, FRAME_MAX_VALUES, &count) ||
        !frame_read_unsigned(reader, 0, UINT64_MAX, &version)) {
        error_set(err, "message without a version");
        return -1;
    }
    if (version != FRAME_VERSION) {
        error_set(err, "message of unknown version %llu", (unsigned long long)version);
        return -1;
    }
    if (!frame_read_unsigned(reader, kind, kind, &number) || count != values) {
        error_set(err, "message of another kind, or of %llu values", (unsigned long long)count);
        return -1;
    }
    return 0;
}

int frame_read_route(struct frame_reader *reader, struct job_route *ret_route,
                     size_t *ret_item_count, struct error *err)
{
    struct job_route route;
    uint64_t stage, count;
    if (!frame_read_bytes(reader, route.incarnation, sizeof route.incarnation) ||
        !frame_read_unsigned(reader, 0, UINT64_MAX, &route.epoch) ||
        !frame_read_unsigned(reader, 1, STAGES, &stage) ||
        !frame_read_array(reader, 1, JOB_MAX_ORDERS, &count)) {
        error_set(err, "message with a bad route or count");
        return -1;
    }
    route.stage = (enum stage)(stage - 1); /* on the wire from 1 */
    *ret_route = route;
    *ret_item_count = (size_t)count;
    return 0;
}
