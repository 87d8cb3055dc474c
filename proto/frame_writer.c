/* Writes the values of a frame: heads and what follows them, as msgpack's spec.md has them.
 * msgpack-c's packer writes the same, with a call through a pointer for each head and for each run
 * of bytes, and takes twice as long. */
#include "proto/frame_writer.h"
#include <assert.h>
#include <endian.h>
#include <string.h>

/* The items' own limits see to it that there is room. */
static uint8_t *take_room(struct frame_writer *writer, size_t len_bytes)
{
    assert(len_bytes <= writer->size - writer->len_bytes);
    uint8_t *room = writer->buffer + writer->len_bytes;
    writer->len_bytes += len_bytes;
    return room;
}

/* A head of one byte. */
static void put_short(struct frame_writer *writer, unsigned type)
{
    *take_room(writer, 1) = (uint8_t)type;
}

/* A head whose number stands in the `width` bytes behind its type. */
static void put_long(struct frame_writer *writer, unsigned type, uint64_t number, size_t width)
{
    uint8_t *room = take_room(writer, 1 + width);
    uint64_t big_endian = htobe64(number << (64 - 8 * width));
    *room = (uint8_t)type;
    memcpy(room + 1, &big_endian, width);
}

/* 1, 2, 4 or 8, of which the logarithm is added to the type of the head with 1. */
static void put_sized(struct frame_writer *writer, unsigned first_type, uint64_t number,
                      unsigned log_width)
{
    put_long(writer, first_type + log_width, number, (size_t)1 << log_width);
}

void frame_writer_begin(struct frame_writer *writer, uint8_t *buffer, size_t size, uint8_t version,
                        enum frame_kind kind, size_t values)
{
    writer->buffer = buffer;
    writer->size = size;
    writer->len_bytes = 0;
    frame_write_array(writer, values);
    frame_write_unsigned(writer, version);
    frame_write_unsigned(writer, kind);
}

void frame_write_route(struct frame_writer *writer, const struct job_route *route,
                       size_t item_count)
{
    frame_write_bytes(writer, route->incarnation, sizeof route->incarnation);
    frame_write_unsigned(writer, route->epoch);
    frame_write_unsigned(writer, (uint64_t)route->stage + 1);
    frame_write_array(writer, item_count);
}

void frame_write_array(struct frame_writer *writer, size_t count)
{
    assert(count <= UINT16_MAX);
    if (count <= 0x0f)
        put_short(writer, 0x90 | (unsigned)count);
    else
        put_long(writer, 0xdc, count, 2);
}

void frame_write_unsigned(struct frame_writer *writer, uint64_t value)
{
    if (value <= 0x7f)
        put_short(writer, (unsigned)value);
    else
        put_sized(writer, 0xcc, value,
                  value <= UINT8_MAX    ? 0
                  : value <= UINT16_MAX ? 1
                  : value <= UINT32_MAX ? 2
                                        : 3);
}

void frame_write_signed(struct frame_writer *writer, int64_t value)
{
    if (value >= 0)
        frame_write_unsigned(writer, (uint64_t)value);
    else if (value >= -0x20)
        put_short(writer, (unsigned)value & 0xff);
    else
        put_sized(writer, 0xd0, (uint64_t)value,
                  value >= INT8_MIN    ? 0
                  : value >= INT16_MIN ? 1
                  : value >= INT32_MIN ? 2
                                       : 3);
}

void frame_write_bytes(struct frame_writer *writer, const uint8_t *bytes, size_t len_bytes)
{
    assert(len_bytes <= UINT16_MAX);
    put_sized(writer, 0xc4, len_bytes, len_bytes <= UINT8_MAX ? 0 : 1);
    memcpy(take_room(writer, len_bytes), bytes, len_bytes);
}

static void put_text_head(struct frame_writer *writer, size_t len_bytes)
{
    assert(len_bytes <= UINT16_MAX);
    if (len_bytes <= 0x1f)
        put_short(writer, 0xa0 | (unsigned)len_bytes);
    else
        put_sized(writer, 0xd9, len_bytes, len_bytes <= UINT8_MAX ? 0 : 1);
}

void frame_write_text(struct frame_writer *writer, const char *text, size_t len_bytes)
{
    put_text_head(writer, len_bytes);
    memcpy(take_room(writer, len_bytes), text, len_bytes);
}

void frame_write_printable(struct frame_writer *writer, const char *text, size_t size)
{
    size_t len = strnlen(text, size - 1);
    put_text_head(writer, len);
    uint8_t *room = take_room(writer, len);
    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)(frame_printable(text[i]) ? text[i] : '?');
}
