#include "proto/order.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

/* The length in bytes of the UTF-8 character at `p`, 0 when it is not one (RFC 3629, section 4:
 * shortest form only, no surrogates, at most U+10FFFF). */
static size_t utf8_character(const uint8_t *p, size_t left)
{
    size_t len;
    uint8_t second_min = 0x80, second_max = 0xbf;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        if (p[0] == 0xe0)
            second_min = 0xa0;
        else if (p[0] == 0xed)
            second_max = 0x9f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        if (p[0] == 0xf0)
            second_min = 0x90;
        else if (p[0] == 0xf4)
            second_max = 0x8f;
    } else {
        return 0;
    }
    if (left < len || p[1] < second_min || p[1] > second_max)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

bool order_name_valid(const char *name, size_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > ORDER_NAME_MAX_BYTES)
        return false;
    const uint8_t *p = (const uint8_t *)name, *const end = p + len_bytes;
    size_t characters = 0;
    while (p < end) {
        size_t len = utf8_character(p, (size_t)(end - p));
        if (len == 0 || *p < 0x20 || *p == 0x7f || ++characters > ORDER_NAME_MAX_CHARS)
            return false;
        p += len;
    }
    return true;
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
