/* Allocation that never fails. */
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

/* glibc's calloc() takes no memory from the cache of its thread, malloc() does for such sizes. */
#define CACHED_MAX_BYTES 1024

void *memory_new(size_t size)
{
    if (size > CACHED_MAX_BYTES)
        return memory_new_array(1, size);
    return memset(memory_take(size), 0, size);
}

void *memory_new_array(size_t count, size_t size)
{
    void *memory = calloc(count, size > 0 ? size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

void *memory_take(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL)
        abort();
    return memory;
}

void *memory_resize(void *memory, size_t size)
{
    void *resized = realloc(memory, size > 0 ? size : 1);
    if (resized == NULL)
        abort();
    return resized;
}

char *memory_copy(const void *bytes, size_t len)
{
    char *copy = memory_new(len + 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

char *memory_copy_text(const char *text)
{
    return memory_copy(text, strlen(text));
}
