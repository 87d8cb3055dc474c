/* Writes a message of msgpack into a fixed buffer. Private to proto: job.c and reply.c. */
#ifndef PROTO_MESSAGE_WRITER_H
#define PROTO_MESSAGE_WRITER_H

#include "proto/job.h"
#include "proto/message_reader.h"
#include <msgpack.h>

struct message_writer {
    msgpack_packer packer;
    uint8_t *buffer; /* of MESSAGE_MAX_BYTES */
    size_t len_bytes;
};

/* Begin a message with its envelope; `item_count` items must follow. */
void message_writer_begin(struct message_writer *writer, uint8_t *buffer, enum message_kind kind,
                          const struct job_route *route, size_t item_count);
void message_write_array(struct message_writer *writer, size_t count);
void message_write_unsigned(struct message_writer *writer, uint64_t value);
void message_write_signed(struct message_writer *writer, int64_t value);
void message_write_bytes(struct message_writer *writer, const uint8_t *bytes, size_t len_bytes);
void message_write_text(struct message_writer *writer, const char *text, size_t len_bytes);

#endif
