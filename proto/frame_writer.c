/* Writes the values of a frame with msgpack-c's packer. Its ready-made one calls its owner through
 * a pointer for each head and each run of bytes; the one below is made of the same template, and
 * writes straight into the buffer. */
#include "proto/frame_writer.h"
#include <assert.h>
#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>
#include <string.h>

/* The items' own limits see to it that there is room. */
static uint8_t *take_room(struct frame_writer *writer, size_t len_bytes)
{
    assert(len_bytes <= writer->size - writer->len_bytes);
    uint8_t *room = writer->buffer + writer->len_bytes;
    writer->len_bytes += len_bytes;
    return room;
}

static int append(struct frame_writer *writer, const void *bytes, size_t len_bytes)
{
    memcpy(take_room(writer, len_bytes), bytes, len_bytes);
    return 0;
}

/* append() cannot fail, so no result of msgpack's packer below carries news. */
#define msgpack_pack_user struct frame_writer *
#define msgpack_pack_append_buffer(writer, bytes, len_bytes) return append(writer, bytes, len_bytes)
#define msgpack_pack_inline_func(name) static inline int msgpack_pack##name
#define msgpack_pack_inline_func_cint(name) static inline int msgpack_pack##name
#define msgpack_pack_inline_func_fixint(name) static inline int msgpack_pack_fix##name
#include <msgpack/pack_template.h>

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
    (void)msgpack_pack_array(writer, count);
}

void frame_write_unsigned(struct frame_writer *writer, uint64_t value)
{
    (void)msgpack_pack_uint64(writer, value);
}

void frame_write_signed(struct frame_writer *writer, int64_t value)
{
    (void)msgpack_pack_int64(writer, value);
}

void frame_write_bytes(struct frame_writer *writer, const uint8_t *bytes, size_t len_bytes)
{
    (void)msgpack_pack_bin(writer, len_bytes);
    (void)msgpack_pack_bin_body(writer, bytes, len_bytes);
}

void frame_write_text(struct frame_writer *writer, const char *text, size_t len_bytes)
{
    (void)msgpack_pack_str(writer, len_bytes);
    (void)msgpack_pack_str_body(writer, text, len_bytes);
}

void frame_write_printable(struct frame_writer *writer, const char *text, size_t size)
{
    size_t len = strnlen(text, size - 1);
    (void)msgpack_pack_str(writer, len);
    uint8_t *room = take_room(writer, len);
    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)(frame_printable(text[i]) ? text[i] : '?');
}
