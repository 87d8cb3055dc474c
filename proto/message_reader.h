/* Reads a message of msgpack: first the whole frame into a flat list of values in the reader
 * itself, then one value after another, each of the expected kind. Nothing is allocated, whatever
 * counts a peer declares. Private to proto. */
#ifndef PROTO_MESSAGE_READER_H
#define PROTO_MESSAGE_READER_H

#include "proto/error.h"
#include "proto/job.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_VERSION 1

enum message_kind {
    MESSAGE_JOB = 1,
    MESSAGE_REPLY = 2,
    MESSAGE_REFRESH_REQUEST = 3,
    MESSAGE_REFRESH_ANSWER = 4,
};

#define MESSAGE_JOB_VALUES 6  /* version, kind, incarnation, epoch, stage, items; replies too */
#define MESSAGE_ITEM_VALUES 6 /* members of a job's item; a reply's has fewer */
#define MESSAGE_MAX_VALUES (1 + MESSAGE_JOB_VALUES + JOB_MAX_ORDERS * (1 + MESSAGE_ITEM_VALUES))

struct message_value {
    enum message_value_kind {
        VALUE_UNSIGNED,
        VALUE_NEGATIVE,
        VALUE_ARRAY,
        VALUE_BYTES,
        VALUE_TEXT
    } kind;
    uint32_t len_bytes; /* of VALUE_BYTES, VALUE_TEXT */
    union {
        uint64_t number;      /* VALUE_UNSIGNED; VALUE_ARRAY: how many values are in it */
        int64_t negative;     /* VALUE_NEGATIVE */
        const uint8_t *bytes; /* VALUE_BYTES, VALUE_TEXT: within the frame */
    };
};

struct message_reader {
    size_t count, next;
    struct message_value values[MESSAGE_MAX_VALUES];
};

/* Read the frame, its version and its kind; the rest of its `values` values comes next. Returns 0,
 * or -1 with `err` set. */
int message_reader_begin(struct message_reader *reader, const uint8_t *frame, size_t len_bytes,
                         enum message_kind kind, size_t values, struct error *err)
    __attribute__((warn_unused_result));

/* Read the route and the head of the list of items. Returns 0, or -1 with `err` set. */
int message_read_route(struct message_reader *reader, struct job_route *ret_route,
                       size_t *ret_item_count, struct error *err)
    __attribute__((warn_unused_result));

/* Take the next value; false, with *ret untouched, when it is not of this kind and range. */
bool message_read_array(struct message_reader *reader, uint64_t min, uint64_t max,
                        uint64_t *ret_count) __attribute__((warn_unused_result));
bool message_read_unsigned(struct message_reader *reader, uint64_t min, uint64_t max, uint64_t *ret)
    __attribute__((warn_unused_result));
bool message_read_signed(struct message_reader *reader, int64_t min, int64_t max, int64_t *ret)
    __attribute__((warn_unused_result));
bool message_read_bytes(struct message_reader *reader, uint8_t *ret, size_t len_bytes)
    __attribute__((warn_unused_result));
bool message_read_text(struct message_reader *reader, size_t max_bytes, const char **ret,
                       size_t *ret_len_bytes) __attribute__((warn_unused_result));

/* A text of printable ASCII into an array of `size`, with a NUL. */
bool message_read_printable(struct message_reader *reader, char *ret, size_t size)
    __attribute__((warn_unused_result));
bool message_printable(char c);

#endif
