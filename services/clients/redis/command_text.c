/* Formats commands: hiredis does it at ten times the cost. */
#include "services/clients/redis/command_text.h"
#include "services/base/memory.h"
#include <stdlib.h>

#define LENGTH_TEXT_SIZE 24 /* of a length with its type and line end */

static char *put_length(char *at, char type, size_t length)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    *at++ = type;
    while (count > 0)
        *at++ = digits[--count];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

size_t command_text_write(struct command_text *text, const struct redis_word *words, size_t count)
{
    size_t size = LENGTH_TEXT_SIZE;
    for (size_t i = 0; i < count; i++)
        size += LENGTH_TEXT_SIZE + words[i].len + 2;
    if (size > text->size) {
        text->size = 2 * size;
        text->bytes = memory_resize(text->bytes, text->size);
    }
    char *at = put_length(text->bytes, '*', count);
    for (size_t i = 0; i < count; i++) {
        at = put_length(at, '$', words[i].len);
        memcpy(at, words[i].bytes, words[i].len);
        at += words[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - text->bytes);
}

void command_text_release(struct command_text *text)
{
    free(text->bytes);
}
