/* Writes the values of a frame with msgpack-c's packer. */
#include "proto/frame_writer.h"
#include "proto/reply.h"
#include <assert.h>
#include <string.h>

static int append(void *data, const char *bytes, size_t len_bytes)
{
    struct frame_writer *writer = data;
    assert(len_bytes <= writer->size - writer->len_bytes); /* the items' own limits see to it */
    memcpy(writer->buffer + writer->len_bytes, bytes, len_bytes);
    writer->len_bytes += len_bytes;
    return 0;
}

/* append() cannot fail, so no result of msgpack's packer below carries news. */

void frame_writer_begin(struct frame_writer *writer, uint8_t *buffer, size_t size, uint8_t version,
                        enum frame_kind kind, size_t values)
{
    writer->buffer = buffer;
    writer->size = size;
    writer->len_bytes = 0;
    msgpack_packer_init(&writer->packer, writer, append);
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
    (void)msgpack_pack_array(&writer->packer, count);
}

void frame_write_unsigned(struct frame_writer *writer, uint64_t value)
{
    (void)msgpack_pack_uint64(&writer->packer, value);
}

void frame_write_signed(struct frame_writer *writer, int64_t value)
{
    (void)msgpack_pack_int64(&writer->packer, value);
}

void frame_write_bytes(struct frame_writer *writer, const uint8_t *bytes, size_t len_bytes)
{
    (void)msgpack_pack_bin(&writer->packer, len_bytes);
    (void)msgpack_pack_bin_body(&writer->packer, bytes, len_bytes);
}

void frame_write_text(struct frame_writer *writer, const char *text, size_t len_bytes)
{
    (void)msgpack_pack_str(&writer->packer, len_bytes);
    (void)msgpack_pack_str_body(&writer->packer, text, len_bytes);
}

void frame_write_printable(struct frame_writer *writer, const char *text, size_t size)
{
    char clean[VERDICT_DETAIL_SIZE];
    assert(size <= sizeof clean);
    size_t len = strnlen(text, size - 1);
    for (size_t i = 0; i < len; i++)
        clean[i] = frame_printable(text[i]) ? text[i] : '?';
    frame_write_text(writer, clean, len);
}
