/* Instants: microseconds since 1970-01-01T00:00:00Z in an int64. Years 0001 to 9999. */
#ifndef PROTO_TIMESTAMP_H
#define PROTO_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

#define TIMESTAMP_MIN_US (INT64_C(-62135596800) * 1000000)     /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX_US (INT64_C(253402300800) * 1000000 - 1) /* 9999-12-31T23:59:59.999999Z */
#define TIMESTAMP_TEXT_SIZE 32

int64_t timestamp_now_us(void);

/* Parse RFC 3339 with any offset and up to 9 decimals, rounded to the nearest microsecond (half
 * of one: up). No leap seconds. Returns 0, or -1 with *ret_us untouched. */
int timestamp_parse(const char *text, size_t len, int64_t *ret_us)
    __attribute__((warn_unused_result));

/* Write RFC 3339 in UTC (`us` within the bounds above), trailing zeros of the fraction left
 * out ("2026-11-23T00:00:00.12Z"), and a NUL; returns its length. */
size_t timestamp_format(int64_t us, char text[TIMESTAMP_TEXT_SIZE]);

#endif
