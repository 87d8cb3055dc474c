/* Amounts of money: whole cents in an int64, exact in every form they travel in. */
#ifndef PROTO_AMOUNT_H
#define PROTO_AMOUNT_H

#include <stddef.h>
#include <stdint.h>

#define AMOUNT_MAX_CENTS INT64_C(999999999999) /* 9999999999.99; the minimum is its negative */
#define AMOUNT_TEXT_SIZE 16                    /* "-9999999999.99" and a NUL fit */

/* The cents of a decimal text: a JSON number ("1e2", "149.990") or what PostgreSQL prints for a
 * numeric. Its digits count, not the double nearest to it. Returns 0, or -1 (with *ret_cents
 * untouched) when it is no number, not a whole number of cents by value, or outside
 * ± AMOUNT_MAX_CENTS. Reads the text once; a large exponent
 * costs no more time. */
int amount_from_decimal(const char *text, size_t len, int64_t *ret_cents)
    __attribute__((warn_unused_result));

/* Write the shortest exact decimal ("1299.99", "149.9", "100", "-0.01") and a NUL; returns its
 * length. */
size_t amount_format(int64_t cents, char text[AMOUNT_TEXT_SIZE]);

#endif
