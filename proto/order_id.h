/* The id of an order: a UUID, RFC 9562. */
#ifndef PROTO_ORDER_ID_H
#define PROTO_ORDER_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_ID_TEXT_LEN 36

struct order_id {
    uint8_t bytes[16]; /* network order, as in the text form */
};

/* A new time-ordered id: UUIDv7 of `unix_ms`, the rest random. */
struct order_id order_id_new(int64_t unix_ms);

/* The id that an Idempotency-Key always names: UUIDv5 of `key` within `name_space`. */
struct order_id order_id_from_key(const struct order_id *name_space, const char *key,
                                  size_t key_len);

/* Parse the 8-4-4-4-12 form, either case, exactly `len` bytes. Returns 0, or -1 with *ret_id
 * untouched. */
int order_id_parse(const char *text, size_t len, struct order_id *ret_id)
    __attribute__((warn_unused_result));

/* Likewise, but only in lower case, as order_id_format() writes it: what is found by its id has it
 * in this form. */
int order_id_parse_lower(const char *text, size_t len, struct order_id *ret_id)
    __attribute__((warn_unused_result));

/* Write the lower-case form and a NUL. */
void order_id_format(const struct order_id *id, char text[ORDER_ID_TEXT_LEN + 1]);

/* The UUID version: 7 of order_id_new(), 5 of order_id_from_key(). */
unsigned order_id_version(const struct order_id *id);

bool order_id_equal(const struct order_id *a, const struct order_id *b);

#endif
