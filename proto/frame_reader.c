/* A cursor over the bytes of a frame. A value of msgpack is a head with a number in it, and for
 * texts and bytes as many bytes as that says (github.com/msgpack/msgpack, spec.md). msgpack-c's
 * unpacker builds a tree and believes every declared count when it allocates: an array32 header of
 * 5 bytes asks for 137 GB. */
#include "proto/frame_reader.h"
#include <endian.h>
#include <string.h>

enum value_kind { VALUE_UNSIGNED, VALUE_NEGATIVE, VALUE_ARRAY, VALUE_BYTES, VALUE_TEXT };

/* The big-endian number in the next 1, 2, 4 or 8 bytes. */
static inline bool take_big_endian(struct frame_reader *reader, size_t width, uint64_t *ret)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    if (width > (size_t)(reader->end - reader->at))
        return false;
    if (width == 1) {
        *ret = *reader->at;
    } else if (width == 2) {
        memcpy(&two, reader->at, sizeof two);
        *ret = be16toh(two);
    } else if (width == 4) {
        memcpy(&four, reader->at, sizeof four);
        *ret = be32toh(four);
    } else {
        memcpy(&eight, reader->at, sizeof eight);
        *ret = be64toh(eight);
    }
    reader->at += width;
    return true;
}

/* Heads whose number stands in the `width` bytes behind the type; 0: no head that we know. */
struct long_head {
    uint8_t width;
    enum value_kind kind;
};
#define LONG_HEAD_FIRST 0xc0
static const struct long_head long_heads[0xe0 - LONG_HEAD_FIRST] = {
#define HEAD(type, width, kind) [(type)-LONG_HEAD_FIRST] = {width, kind}
    HEAD(0xc4, 1, VALUE_BYTES),    HEAD(0xc5, 2, VALUE_BYTES),    HEAD(0xc6, 4, VALUE_BYTES),
    HEAD(0xcc, 1, VALUE_UNSIGNED), HEAD(0xcd, 2, VALUE_UNSIGNED), HEAD(0xce, 4, VALUE_UNSIGNED),
    HEAD(0xcf, 8, VALUE_UNSIGNED), HEAD(0xd0, 1, VALUE_NEGATIVE), HEAD(0xd1, 2, VALUE_NEGATIVE),
    HEAD(0xd2, 4, VALUE_NEGATIVE), HEAD(0xd3, 8, VALUE_NEGATIVE), HEAD(0xd9, 1, VALUE_TEXT),
    HEAD(0xda, 2, VALUE_TEXT),     HEAD(0xdb, 4, VALUE_TEXT),     HEAD(0xdc, 2, VALUE_ARRAY),
    HEAD(0xdd, 4, VALUE_ARRAY),
#undef HEAD
};

/* A number of `width` bytes in two's complement. */
static int64_t sign_extended(uint64_t number, size_t width)
{
    unsigned shift = 64 - 8 * (unsigned)width;
    return (int64_t)(number << shift) >> shift;
}

/* Take the head of the next value: its kind, and its number, count or length. Of VALUE_NEGATIVE the
 * number is in two's complement. */
static inline bool take_head(struct frame_reader *reader, enum value_kind *ret_kind, uint64_t *ret)
{
    if (reader->at == reader->end)
        return false;
    uint8_t type = *reader->at++;
    if (type <= 0x7f || type >= 0xe0) {
        *ret_kind = type <= 0x7f ? VALUE_UNSIGNED : VALUE_NEGATIVE;
        *ret = (uint64_t)sign_extended(type, 1);
        return true;
    }
    if (type >= 0x90 && type <= 0xbf) {
        *ret_kind = type <= 0x9f ? VALUE_ARRAY : VALUE_TEXT;
        *ret = type & (type <= 0x9f ? 0x0f : 0x1f);
        return true;
    }
    /* nil, booleans, floats, maps and extensions are not in our frames */
    const struct long_head head =
        type >= LONG_HEAD_FIRST ? long_heads[type - LONG_HEAD_FIRST] : (struct long_head){0};
    if (head.width == 0 || !take_big_endian(reader, head.width, ret))
        return false;
    *ret_kind = head.kind;
    if (head.kind == VALUE_NEGATIVE) {
        *ret = (uint64_t)sign_extended(*ret, head.width);
        if ((int64_t)*ret >= 0)
            *ret_kind = VALUE_UNSIGNED;
    }
    return true;
}

static inline bool take(struct frame_reader *reader, enum value_kind wanted, uint64_t min,
                        uint64_t max, uint64_t *ret)
{
    enum value_kind kind;
    uint64_t number;
    if (!take_head(reader, &kind, &number) || kind != wanted || number < min || number > max)
        return false;
    *ret = number;
    return true;
}

bool frame_read_array(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret_count)
{
    return take(reader, VALUE_ARRAY, min, max, ret_count);
}

bool frame_read_unsigned(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret)
{
    return take(reader, VALUE_UNSIGNED, min, max, ret);
}

bool frame_read_signed(struct frame_reader *reader, int64_t min, int64_t max, int64_t *ret)
{
    enum value_kind kind;
    uint64_t number;
    if (!take_head(reader, &kind, &number) ||
        !(kind == VALUE_NEGATIVE || (kind == VALUE_UNSIGNED && number <= INT64_MAX)) ||
        (int64_t)number < min || (int64_t)number > max)
        return false;
    *ret = (int64_t)number;
    return true;
}

/* The bytes behind a head, within the frame. */
static bool take_run(struct frame_reader *reader, enum value_kind wanted, size_t min, size_t max,
                     const uint8_t **ret, size_t *ret_len_bytes)
{
    uint64_t len_bytes;
    if (!take(reader, wanted, min, max, &len_bytes) ||
        len_bytes > (size_t)(reader->end - reader->at))
        return false;
    *ret = reader->at;
    *ret_len_bytes = (size_t)len_bytes;
    reader->at += len_bytes;
    return true;
}

bool frame_read_bytes(struct frame_reader *reader, uint8_t *ret, size_t len_bytes)
{
    const uint8_t *bytes;
    size_t len;
    if (!take_run(reader, VALUE_BYTES, len_bytes, len_bytes, &bytes, &len))
        return false;
    memcpy(ret, bytes, len);
    return true;
}

bool frame_read_text(struct frame_reader *reader, size_t max_bytes, const char **ret,
                     size_t *ret_len_bytes)
{
    const uint8_t *bytes;
    if (!take_run(reader, VALUE_TEXT, 0, max_bytes, &bytes, ret_len_bytes))
        return false;
    *ret = (const char *)bytes;
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
    if (len_bytes > FRAME_MAX_BYTES) {
        error_set(err, "message of %zu bytes, more than %d", len_bytes, FRAME_MAX_BYTES);
        return -1;
    }
    *reader = (struct frame_reader){.at = frame, .end = frame + len_bytes};

    /* The version first, on its own: what follows it may look different in another one. */
    uint64_t count, version, number;
    if (!frame_read_array(reader, 1, UINT64_MAX, &count) ||
        !frame_read_unsigned(reader, 0, UINT64_MAX, &version)) {
        error_set(err, "message without a version");
        return -1;
    }
    if (version < FRAME_VERSION_OLDEST || version > FRAME_VERSION) {
        error_set(err, "message of unknown version %llu", (unsigned long long)version);
        return -1;
    }
    reader->version = (uint8_t)version;
    if (!frame_read_unsigned(reader, kind, kind, &number) || count != values) {
        error_set(err, "message of another kind, or of %llu values", (unsigned long long)count);
        return -1;
    }
    return 0;
}

int frame_reader_end(const struct frame_reader *reader, struct error *err)
{
    if (reader->at == reader->end)
        return 0;
    error_set(err, "message with %zu bytes behind its end", (size_t)(reader->end - reader->at));
    return -1;
}

int frame_read_route(struct frame_reader *reader, struct job_route *ret_route,
                     size_t *ret_item_count, struct error *err)
{
    struct job_route route = {.version = reader->version};
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
