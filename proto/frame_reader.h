/* Reads a frame of msgpack, one value after another, each of the expected kind. Nothing is
 * allocated: a count that a peer declares is only compared. Private to proto. */
#ifndef PROTO_FRAME_READER_H
#define PROTO_FRAME_READER_H

#include "proto/error.h"
#include "proto/job.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_kind {
    FRAME_JOB = 1,
    FRAME_REPLY = 2,
};

#define FRAME_JOB_VALUES 6 /* version, kind, incarnation, epoch, stage, items; replies too */

struct frame_reader {
    const uint8_t *at, *end; /* what has not been read yet */
    uint8_t version;         /* FRAME_VERSION_OLDEST to FRAME_VERSION */
};

/* Begin to read: the version and the kind; the rest of the frame's `values` values comes next.
 * Returns 0, or -1 with `err` set. */
int frame_reader_begin(struct frame_reader *reader, const uint8_t *frame, size_t len_bytes,
                       enum frame_kind kind, size_t values, struct error *err)
    __attribute__((warn_unused_result));

/* Read the route and the head of the list of items. Returns 0, or -1 with `err` set. */
int frame_read_route(struct frame_reader *reader, struct job_route *ret_route,
                     size_t *ret_item_count, struct error *err) __attribute__((warn_unused_result));

/* After the last value: 0, or -1 with `err` set when the frame goes on. */
int frame_reader_end(const struct frame_reader *reader, struct error *err)
    __attribute__((warn_unused_result));

/* Take the next value; false, with *ret untouched, when it is not of this kind and range. Then the
 * frame cannot be read on. */
bool frame_read_array(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret_count)
    __attribute__((warn_unused_result));
bool frame_read_unsigned(struct frame_reader *reader, uint64_t min, uint64_t max, uint64_t *ret)
    __attribute__((warn_unused_result));
bool frame_read_signed(struct frame_reader *reader, int64_t min, int64_t max, int64_t *ret)
    __attribute__((warn_unused_result));
bool frame_read_bytes(struct frame_reader *reader, uint8_t *ret, size_t len_bytes)
    __attribute__((warn_unused_result));
bool frame_read_text(struct frame_reader *reader, size_t max_bytes, const char **ret,
                     size_t *ret_len_bytes) __attribute__((warn_unused_result));

/* A text of printable ASCII into an array of `size`, with a NUL. */
bool frame_read_printable(struct frame_reader *reader, char *ret, size_t size)
    __attribute__((warn_unused_result));
bool frame_printable(char c);

#endif
