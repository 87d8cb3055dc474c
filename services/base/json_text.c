/* Text inside JSON strings (RFC 8259 section 7; UTF-8 as RFC 3629 section 4). */
#include "services/base/json_text.h"
#include "proto/utf8.h"
#include <stdio.h>
#include <string.h>

bool json_text_disturbs(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character <= 0x9F) ||
           (character >= 0x2028 && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);
}

size_t json_text_escape(const char *text, size_t len, char *buffer, size_t size)
{
    size_t written = 0;
    for (size_t i = 0, char_len; i < len; i += char_len) {
        char piece[8];
        size_t piece_len;
        uint32_t character = utf8_decode(text + i, len - i, &char_len);
        if (character == '"' || character == '\\') {
            piece[0] = '\\';
            piece[1] = (char)character;
            piece_len = 2;
        } else if (json_text_disturbs(character)) {
            piece_len = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", character & 0xFFFF);
        } else if (character == UTF8_INVALID) {
            memcpy(piece, "\xEF\xBF\xBD", 3); /* U+FFFD, the replacement character */
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
