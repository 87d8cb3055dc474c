/* The refresh messages between gateway and scheduler: one request, then answers until a final one.
 * Each is one ZeroMQ frame of msgpack. Layout, versions and conversation: PROTOCOL.md. */
#ifndef PROTO_REFRESH_MESSAGE_H
#define PROTO_REFRESH_MESSAGE_H

#include "proto/error.h"
#include <stddef.h>
#include <stdint.h>

#define REFRESH_MESSAGE_MAX_BYTES 512 /* of either; also the sockets' ZMQ_MAXMSGSIZE */
#define REFRESH_DETAIL_SIZE 200

enum refresh_state {
    REFRESH_ANSWER_ACCEPTED = 1, /* at once */
    REFRESH_ANSWER_WAITING = 2,  /* each second while there is nothing else to say: still alive */
    REFRESH_ANSWER_DONE = 3,     /* final: a refresh that began after the request is committed */
    REFRESH_ANSWER_FAILED = 4,   /* final: it was tried and failed */
    REFRESH_ANSWER_DECLINED = 5, /* final: stopping, or too many wait; ask another scheduler */
};

struct refresh_answer {
    uint64_t request_id; /* the asker's own */
    enum refresh_state state;
    char detail[REFRESH_DETAIL_SIZE]; /* REFRESH_ANSWER_FAILED: why, for a person; printable */
};

/* Encode; returns the length in bytes. */
size_t refresh_request_encode(uint64_t request_id, uint8_t buffer[REFRESH_MESSAGE_MAX_BYTES]);
size_t refresh_answer_encode(const struct refresh_answer *answer,
                             uint8_t buffer[REFRESH_MESSAGE_MAX_BYTES]);

/* Decode, strict and bounded as job_decode(). Return 0, or -1 with `err` set. */
int refresh_request_decode(const uint8_t *message, size_t len_bytes, uint64_t *ret_request_id,
                           struct error *err) __attribute__((warn_unused_result));
int refresh_answer_decode(const uint8_t *message, size_t len_bytes,
                          struct refresh_answer *ret_answer, struct error *err)
    __attribute__((warn_unused_result));

/* "accepted", "waiting", "done", "failed", "declined": for logs. */
const char *refresh_state_name(enum refresh_state state);

#endif
