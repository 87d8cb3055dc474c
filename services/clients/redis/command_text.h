/* A command as Redis reads it (redis.io, "RESP protocol spec"). */
#ifndef CLIENTS_REDIS_COMMAND_TEXT_H
#define CLIENTS_REDIS_COMMAND_TEXT_H

#include <stddef.h>
#include <string.h>

/* One word of a command: its name, or an argument. Any bytes. */
struct redis_word {
    const char *bytes;
    size_t len;
};
#define REDIS_WORD(literal) ((struct redis_word){"" literal, sizeof(literal) - 1})
static inline struct redis_word redis_word(const char *text)
{
    return (struct redis_word){text, strlen(text)};
}

/* A buffer for one command at a time; at first all zero. */
struct command_text {
    char *bytes;
    size_t size;
};

/* Write the command in place of the last one. Returns its length. */
size_t command_text_write(struct command_text *text, const struct redis_word *words, size_t count);

void command_text_release(struct command_text *text);

#endif
