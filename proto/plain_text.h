/* Text that means itself everywhere: printable ASCII without '"' and '\'. */
#ifndef PROTO_PLAIN_TEXT_H
#define PROTO_PLAIN_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How many bytes of `text` are plain, from the first on; up to seven too few. Eight bytes are
 * judged at once: the highest bit of a byte of a word tells. */
static inline size_t plain_text_len(const char *text, size_t len_bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t plain = 0;
    for (uint64_t word; len_bytes - plain >= sizeof word; plain += sizeof word) {
        memcpy(&word, text + plain, sizeof word);
        uint64_t quotes = word ^ '"' * ones, backslashes = word ^ '\\' * ones;
        /* Below 0x20, zero after ^, 0x7f, or above it. A borrow spreads only from such a byte. */
        uint64_t other =
            (word - ' ' * ones) | (quotes - ones) | (backslashes - ones) | (word + ones) | word;
        if ((other & 0x80 * ones) != 0)
            break;
    }
    return plain;
}

#endif
