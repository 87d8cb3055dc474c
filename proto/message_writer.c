#include "proto/message_writer.h"
#include "proto/reply.h"
#include <assert.h>
#include <string.h>

static int append(void *data, const char *bytes, size_t len_bytes)
{
    struct message_writer *writer = data;
    assert(len_bytes <= writer->size - writer->len_bytes); /* the items' own limits see to it */
    memcpy(writer->buffer + writer->len_bytes, bytes, len_bytes);
    writer->len_bytes += len_bytes;
    return 0;
}

/* append() cannot fail, so no result of msgpack's packer below carries news. */

void message_writer_begin(struct message_writer *writer, uint8_t *buffer, size_t size,
                          enum message_kind kind, size_t values)
{
    writer->buffer = buffer;
    writer->size = size;
    writer->len_bytes = 0;
    msgpack_packer_init(&writer->packer, writer, append);
    message_write_array(writer, values);
    message_write_unsigned(writer, MESSAGE_VERSION);
    message_write_unsigned(writer, kind);
}

void message_write_route(struct message_writer *writer, const struct job_route *route,
                         size_t item_count)
{
    message_write_bytes(writer, route->incarnation, sizeof route->incarnation);
    message_write_unsigned(writer, route->epoch);
    message_write_unsigned(writer, (uint64_t)route->stage + 1);
    message_write_array(writer, item_count);
}

void message_write_array(struct message_writer *writer, size_t count)
{
    (void)msgpack_pack_array(&writer->packer, count);
}

void message_write_unsigned(struct message_writer *writer, uint64_t value)
{
    (void)msgpack_pack_uint64(&writer->packer, value);
}

void message_write_signed(struct message_writer *writer, int64_t value)
{
    (void)msgpack_pack_int64(&writer->packer, value);
}

void message_write_bytes(struct message_writer *writer, const uint8_t *bytes, size_t len_bytes)
{
    (void)msgpack_pack_bin(&writer->packer, len_bytes);
    (void)msgpack_pack_bin_body(&writer->packer, bytes, len_bytes);
}

void message_write_text(struct message_writer *writer, const char *text, size_t len_bytes)
{
    (void)msgpack_pack_str(&writer->packer, len_bytes);
    (void)msgpack_pack_str_body(&writer->packer, text, len_bytes);
}

void message_write_printable(struct message_writer *writer, const char *text, size_t size)
{
    char clean[VERDICT_DETAIL_SIZE];
    assert(size <= sizeof clean);
    size_t len = strnlen(text, size - 1);
    for (size_t i = 0; i < len; i++)
        clean[i] = message_printable(text[i]) ? text[i] : '?';
    message_write_text(writer, clean, len);
}
