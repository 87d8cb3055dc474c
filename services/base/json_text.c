/* Text inside JSON strings (RFC 8259 section 7; UTF-8 as RFC 3629 section 4). */
#include "services/base/json_text.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT 0xFFFD

/* The character at `text`; *ret_len is its length, 1 when it is not valid UTF-8. */
static uint32_t utf8_decode(const unsigned char *text, size_t len, size_t *ret_len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = text[0];
    size_t need = lead < 0x80             ? 1
                  : (lead & 0xE0) == 0xC0 ? 2
                  : (lead & 0xF0) == 0xE0 ? 3
                  : (lead & 0xF8) == 0xF0 ? 4
                                          : 0;
    *ret_len = 1;
    if (need == 1)
        return lead;
    if (need == 0 || need > len)
        return REPLACEMENT;
    uint32_t character = lead & (0xFFu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return REPLACEMENT;
        character = character << 6 | (text[i] & 0x3Fu);
    }
    if (character < smallest[need] || character > 0x10FFFF ||
        (character >= 0xD800 && character <= 0xDFFF))
        return REPLACEMENT;
    *ret_len = need;
    return character;
}

static int must_escape(uint32_t character)
{
    return character < 0x20 || character == '"' || character == '\\' ||
           (character >= 0x7F && character <= 0x9F) ||
           (character >= 0x2028 && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);
}

size_t json_text_escape(const char *text, size_t len, char *buffer, size_t size)
{
    size_t written = 0;
    for (size_t i = 0, char_len; i < len; i += char_len) {
        char piece[8];
        size_t piece_len;
        uint32_t character = utf8_decode((const unsigned char *)text + i, len - i, &char_len);
        if (character == '"' || character == '\\') {
            piece[0] = '\\';
            piece[1] = (char)character;
            piece_len = 2;
        } else if (must_escape(character)) {
            piece_len = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", character & 0xFFFF);
        } else if (character == REPLACEMENT) { /* bad input, or the character itself */
            memcpy(piece, "\xEF\xBF\xBD", 3);
            piece_len = 3;
        } else {
            memcpy(piece, text + i, char_len);
            piece_len = char_len;
        }
        if (written + piece_len >= size)
            break;
        memcpy(buffer + written, piece, piece_len);
        written += piece_len;
    }
    buffer[written] = '\0';
    return written;
}
