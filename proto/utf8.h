/* UTF-8 (RFC 3629, section 4): shortest form only, no surrogates, at most U+10FFFF. */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID UINT32_MAX

/* The character at `text`, of which `len` > 0 bytes are there, and its length in bytes; or
 * UTF8_INVALID and 1. */
uint32_t utf8_decode(const char *text, size_t len, size_t *ret_len);

#endif
