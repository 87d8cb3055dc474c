/* The order itself: what a name may be, copies and comparisons. */
#include "proto/order.h"
#include "proto/plain_text.h"
#include "proto/utf8.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

bool order_name_valid(const char *name, size_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > ORDER_NAME_MAX_BYTES)
        return false;
    /* at first those of ASCII, a byte each */
    size_t characters = plain_text_len(name, len_bytes);
    while (characters < len_bytes && name[characters] >= ' ' && name[characters] <= '~')
        characters++;
    for (size_t at = characters, len; at < len_bytes; at += len) {
        uint32_t character = utf8_decode(name + at, len_bytes - at, &len);
        if (character == UTF8_INVALID || character < 0x20 || character == 0x7f ||
            ++characters > ORDER_NAME_MAX_CHARS)
            return false;
    }
    return characters <= ORDER_NAME_MAX_CHARS;
}

void order_set_name(struct order *order, const char *name, size_t len_bytes)
{
    assert(len_bytes <= ORDER_NAME_MAX_BYTES);
    memcpy(order->product_name, name, len_bytes);
    order->product_name[len_bytes] = '\0';
    order->product_name_len = (uint16_t)len_bytes;
}

size_t order_size(const struct order *order)
{
    return offsetof(struct order, product_name) + order->product_name_len + 1u;
}

void order_copy(struct order *to, const struct order *from)
{
    memcpy(to, from, order_size(from));
}

bool order_equal(const struct order *a, const struct order *b)
{
    return order_id_equal(&a->id, &b->id) && a->created_at_us == b->created_at_us &&
           order_same_payload(a, b);
}

bool order_same_payload(const struct order *a, const struct order *b)
{
    return a->amount_cents == b->amount_cents && a->product_name_len == b->product_name_len &&
           memcmp(a->product_name, b->product_name, a->product_name_len) == 0;
}
