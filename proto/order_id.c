/* UUIDs of orders: version 7 (RFC 9562, section 5.7) and version 5 (section 5.5), their text. */
#include "proto/order_id.h"
#include "proto/hex.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define RANDOM_LEN 10 /* of an id's bytes */

/* The kernel is asked once for many ids: libuuid's generator makes six system calls for each. */
static void take_random(uint8_t bytes[RANDOM_LEN])
{
    static _Thread_local uint8_t pool[24 * RANDOM_LEN];
    static _Thread_local size_t left;
    if (left == 0) {
        arc4random_buf(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= RANDOM_LEN;
    memcpy(bytes, pool + left, RANDOM_LEN);
}

struct order_id order_id_new(int64_t unix_ms)
{
    /* RFC 9562, 5.7: 48 bits of Unix milliseconds, the version, 12 random bits, the variant, 62
     * random bits. */
    struct order_id id;
    uint64_t ms = (uint64_t)unix_ms;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    take_random(id.bytes + 6);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x70);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

struct order_id order_id_from_key(const struct order_id *name_space, const char *key,
                                  size_t key_len)
{
    struct order_id id;
    uuid_generate_sha1(id.bytes, name_space->bytes, key, key_len);
    return id;
}

/* The bytes of a group of digits; negative when there is another character. */
static inline int parse_group(const char *digits, uint8_t *bytes, size_t count)
{
    int any = 0;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
        any |= high | low;
        bytes[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    return any;
}

/* By hand: libuuid's takes a strtoul() for each group, and this is on the path of every order. */
int order_id_parse(const char *text, size_t len, struct order_id *ret_id)
{
    struct order_id id;
    if (len != ORDER_ID_TEXT_LEN || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return -1;
    if ((parse_group(text, id.bytes, 4) | parse_group(text + 9, id.bytes + 4, 2) |
         parse_group(text + 14, id.bytes + 6, 2) | parse_group(text + 19, id.bytes + 8, 2) |
         parse_group(text + 24, id.bytes + 10, 6)) < 0)
        return -1;
    *ret_id = id;
    return 0;
}

int order_id_parse_lower(const char *text, size_t len, struct order_id *ret_id)
{
    struct order_id id;
    char lower[ORDER_ID_TEXT_LEN + 1];
    if (order_id_parse(text, len, &id) != 0)
        return -1;
    order_id_format(&id, lower);
    if (memcmp(text, lower, ORDER_ID_TEXT_LEN) != 0)
        return -1;
    *ret_id = id;
    return 0;
}

/* The eight digits of four bytes: a nibble is spread to each byte of a word, and becomes a digit
 * there, a letter where it is above 9. */
static void format_word(const uint8_t bytes[4], char digits[8])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    uint64_t spread = be32toh(word);
    spread = (spread | spread << 16) & UINT64_C(0x0000ffff0000ffff);
    spread = (spread | spread << 8) & UINT64_C(0x00ff00ff00ff00ff);
    spread = (spread | spread << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (spread + 6 * ones) >> 4 & ones;
    spread = htobe64(spread + '0' * ones + ('a' - '0' - 10) * letters);
    memcpy(digits, &spread, sizeof spread);
}

/* libuuid's goes digit by digit, which takes twice as long. */
void order_id_format(const struct order_id *id, char text[ORDER_ID_TEXT_LEN + 1])
{
    char digits[32];
    for (size_t i = 0; i < 4; i++)
        format_word(id->bytes + 4 * i, digits + 8 * i);
    memcpy(text, digits, 8);
    memcpy(text + 9, digits + 8, 4);
    memcpy(text + 14, digits + 12, 4);
    memcpy(text + 19, digits + 16, 4);
    memcpy(text + 24, digits + 20, 12);
    text[8] = text[13] = text[18] = text[23] = '-';
    text[ORDER_ID_TEXT_LEN] = '\0';
}

unsigned order_id_version(const struct order_id *id)
{
    return id->bytes[6] >> 4;
}

bool order_id_equal(const struct order_id *a, const struct order_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
