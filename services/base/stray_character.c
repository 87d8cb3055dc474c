/* Bytes that are not UTF-8 are no business of this file: a password may be of any. */
#include "services/base/stray_character.h"
#include "proto/utf8.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_stray(uint32_t character, bool tabs)
{
    return (character < 0x20 && !(character == '\t' && tabs)) ||
           (character >= 0x7F && character <= 0x9F) || character == 0x2028 || character == 0x2029 ||
           character == 0xFEFF;
}

static const char *name_of(uint32_t character)
{
    switch (character) {
    case 0:
        return "a NUL";
    case '\t':
        return "a tab";
    case '\n':
        return "a line feed";
    case '\r':
        return "a carriage return";
    case 0x2028:
    case 0x2029:
        return "a line separator";
    case 0xFEFF:
        return "a byte order mark";
    default:
        return "a control character";
    }
}

bool stray_character_find(const char *text, size_t len, bool tabs, char what[STRAY_CHARACTER_SIZE])
{
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        (void)snprintf(what, STRAY_CHARACTER_SIZE,
                       "a byte order mark of UTF-16 at its beginning; it must be UTF-8");
        return true;
    }
    for (size_t i = 0, char_len; i < len; i += char_len) {
        uint32_t character = utf8_decode(text + i, len - i, &char_len);
        if (character == UTF8_INVALID || !is_stray(character, tabs))
            continue;
        (void)snprintf(what, STRAY_CHARACTER_SIZE, "%s (U+%04X) %s", name_of(character), character,
                       i == 0                ? "at its beginning"
                       : i + char_len == len ? "at its end"
                                             : "in its middle");
        return true;
    }
    return false;
}
