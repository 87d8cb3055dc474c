/* The decoder that names of orders and texts in logs are read with. */
#include "proto/utf8.h"

uint32_t utf8_decode(const char *text, size_t len, size_t *ret_len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)text[0];
    size_t need = lead < 0x80             ? 1
                  : (lead & 0xE0) == 0xC0 ? 2
                  : (lead & 0xF0) == 0xE0 ? 3
                  : (lead & 0xF8) == 0xF0 ? 4
                                          : 0;
    *ret_len = 1;
    if (need == 1)
        return lead;
    if (need == 0 || need > len)
        return UTF8_INVALID;
    uint32_t character = lead & (0xFFu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if (((unsigned char)text[i] & 0xC0) != 0x80)
            return UTF8_INVALID;
        character = character << 6 | ((unsigned char)text[i] & 0x3Fu);
    }
    if (character < smallest[need] || character > 0x10FFFF ||
        (character >= 0xD800 && character <= 0xDFFF))
        return UTF8_INVALID;
    *ret_len = need;
    return character;
}
