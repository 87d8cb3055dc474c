/* Writes a message of msgpack into a fixed buffer. Private to proto. */
#ifndef PROTO_MESSAGE_WRITER_H
#define PROTO_MESSAGE_WRITER_H

#include "proto/job.h"
#include "proto/message_reader.h"
#include <msgpack.h>

struct message_writer {
    msgpack_packer packer;
    uint8_t *buffer;
    size_t size, len_bytes;
};

/* Begin a message of `values` values with its version and kind, which are the first two. */
void message_writer_begin(struct message_writer *writer, uint8_t *buffer, size_t size,
                          enum message_kind kind, size_t values);

/* The route and the head of the list of items: what jobs and replies go on with. */
void message_write_route(struct message_writer *writer, const struct job_route *route,
                         size_t item_count);

void message_write_array(struct message_writer *writer, size_t count);
void message_write_unsigned(struct message_writer *writer, uint64_t value);
void message_write_signed(struct message_writer *writer, int64_t value);
void message_write_bytes(struct message_writer *writer, const uint8_t *bytes, size_t len_bytes);
void message_write_text(struct message_writer *writer, const char *text, size_t len_bytes);

/* A text in an array of `size`; what is not printable ASCII in it becomes '?': details often quote
 * another server's words, and those must not make a peer refuse the whole message. */
void message_write_printable(struct message_writer *writer, const char *text, size_t size);

#endif
