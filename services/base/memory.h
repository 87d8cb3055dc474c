/* Allocation that never fails: out of memory ends the process by abort(), the supervisor starts it
 * again, and nothing accepted is lost. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Zeroed; free() it. */
void *memory_new(size_t size) __attribute__((malloc, returns_nonnull));
void *memory_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* As malloc(): not zeroed. */
void *memory_take(size_t size) __attribute__((malloc, returns_nonnull));

/* As realloc(), the new part is not zeroed. */
void *memory_resize(void *memory, size_t size) __attribute__((returns_nonnull));

/* A copy of `len` bytes with a NUL after them; free() it. */
char *memory_copy(const void *bytes, size_t len) __attribute__((malloc, returns_nonnull));
char *memory_copy_text(const char *text) __attribute__((malloc, returns_nonnull));

#endif
