/* Writes a frame of msgpack into a fixed buffer. Private to proto. */
#ifndef PROTO_FRAME_WRITER_H
#define PROTO_FRAME_WRITER_H

#include "proto/frame_reader.h"
#include "proto/job.h"

struct frame_writer {
    uint8_t *buffer;
    size_t size, len_bytes;
};

/* Begin a frame of `values` values with its version and kind, which are the first two. */
void frame_writer_begin(struct frame_writer *writer, uint8_t *buffer, size_t size, uint8_t version,
                        enum frame_kind kind, size_t values);

/* The route and the head of the list of items: what jobs and replies go on with. */
void frame_write_route(struct frame_writer *writer, const struct job_route *route,
                       size_t item_count);

void frame_write_array(struct frame_writer *writer, size_t count);
void frame_write_unsigned(struct frame_writer *writer, uint64_t value);
void frame_write_signed(struct frame_writer *writer, int64_t value);
void frame_write_bytes(struct frame_writer *writer, const uint8_t *bytes, size_t len_bytes);
void frame_write_text(struct frame_writer *writer, const char *text, size_t len_bytes);

/* A text in an array of `size`; what is not printable ASCII in it becomes '?': details often quote
 * another server's words, which must not make a peer refuse the whole frame. */
void frame_write_printable(struct frame_writer *writer, const char *text, size_t size);

#endif
