/* One order, as every part of the pipeline knows it. A plain value: copy it freely. */
#ifndef PROTO_ORDER_H
#define PROTO_ORDER_H

#include "proto/order_id.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_NAME_MAX_CHARS 255
#define ORDER_NAME_MAX_BYTES (4 * ORDER_NAME_MAX_CHARS)

struct order {
    struct order_id id;
    int64_t amount_cents;
    int64_t created_at_us;
    uint16_t product_name_len;                   /* bytes */
    char product_name[ORDER_NAME_MAX_BYTES + 1]; /* UTF-8, NUL at the end, no control characters */
};

/* Whether `name` is 1..255 characters of valid UTF-8 without control characters (U+0000..U+001F,
 * U+007F). */
bool order_name_valid(const char *name, size_t len_bytes);

/* Set the name; `len_bytes` must be at most ORDER_NAME_MAX_BYTES. */
void order_set_name(struct order *order, const char *name, size_t len_bytes);

/* The bytes in use, from the beginning on: all that a copy needs. */
size_t order_size(const struct order *order);

/* Copy only the bytes in use. */
void order_copy(struct order *to, const struct order *from);

/* Same id, name, amount and instant. */
bool order_equal(const struct order *a, const struct order *b);

/* Same name and amount: what a client sends, and sends again under the same Idempotency-Key. */
bool order_same_payload(const struct order *a, const struct order *b);

#endif
