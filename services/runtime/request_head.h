/* What libh2o lets pass in the head of an HTTP/1 request, and this project does not: heads whose
 * body length can be read in two ways (RFC 9112, 6.3: request smuggling), and huge ones. */
#ifndef RUNTIME_REQUEST_HEAD_H
#define RUNTIME_REQUEST_HEAD_H

#include <stddef.h>

#define REQUEST_HEAD_MAX_BYTES 16384
#define REQUEST_TARGET_MAX_BYTES 8192

enum request_head_fault {
    REQUEST_HEAD_FINE,
    REQUEST_HEAD_MALFORMED, /* two Content-Length, two Transfer-Encoding, or one of each */
    REQUEST_HEAD_TOO_LARGE,
    REQUEST_HEAD_TARGET_TOO_LONG,
};

/* Look at the raw head, which begins at `bytes` and ends with the first empty line; what follows in
 * the `len` bytes is not looked at. */
enum request_head_fault request_head_check(const char *bytes, size_t len);

#endif
