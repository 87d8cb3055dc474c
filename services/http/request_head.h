/* The head of an HTTP/1 request, read strictly by RFC 9112: request line, fields and the empty line
 * that ends them. What two programs could read in two ways is at fault (request smuggling), and so
 * is a head that is too large. */
#ifndef HTTP_REQUEST_HEAD_H
#define HTTP_REQUEST_HEAD_H

#include "services/http/request_target.h"
#include <stdbool.h>
#include <stddef.h>

#define REQUEST_HEAD_MAX_BYTES 16384
#define REQUEST_HEAD_MAX_FIELDS 99
#define REQUEST_TARGET_MAX_BYTES 8192

/* A head that is too large is read up to here before it is refused: a client that is still sending
 * would lose the answer in a reset. */
#define REQUEST_HEAD_READ_MAX_BYTES (400 * 1024)

enum request_head_fault {
    REQUEST_HEAD_FINE,
    REQUEST_HEAD_MALFORMED,
    REQUEST_HEAD_TOO_LARGE,
    REQUEST_HEAD_TARGET_TOO_LONG,
};
#define REQUEST_HEAD_FAULTS (REQUEST_HEAD_TARGET_TOO_LONG + 1)

/* All texts are in the bytes that were read. */
struct request_field {
    struct request_text name;
    struct request_text value; /* without the white space around it */
};

struct request_head {
    enum request_head_fault fault;
    /* The rest is set when the head is fine. */
    size_t len; /* with the empty line at its end, and the one that may stand before it */
    struct request_text method, target;
    int minor_version; /* 0 or 1 */
    bool chunked;      /* the body is; else it has a length, or there is none */
    bool closes;       /* the connection ends after the answer (RFC 9112, 9.3) */
    size_t field_count;
    struct request_field fields[REQUEST_HEAD_MAX_FIELDS];
};

/* Read the head at the beginning of `bytes`; what follows in the `len` bytes is not looked at. The
 * first `seen` of them were there at an earlier call that returned false. Returns true with
 * `ret_head` set, or false when more bytes must come before there is a verdict. */
bool request_head_read(const char *bytes, size_t len, size_t seen, struct request_head *ret_head)
    __attribute__((warn_unused_result));

#endif
