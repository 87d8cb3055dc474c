/* Out of memory ends the process wherever it happens, as in memory.h: also inside of a library,
 * where it would crash (hiredis, Kerberos), make a good order malformed (jansson), or leave a
 * service that never works again (OpenSSL). See malloc_hook(3), "replacing malloc" in the manual of
 * glibc: these stand before the allocator's own, whichever that is. */
#include <dlfcn.h>
#include <stdlib.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void *malloc(size_t size)
{
    static __typeof__(&malloc) next;
    if (next == NULL)
        next = NEXT(malloc);
    void *memory = next(size);
    if (memory == NULL)
        abort();
    return memory;
}

void *calloc(size_t count, size_t size)
{
    static __typeof__(&calloc) next;
    if (next == NULL)
        next = NEXT(calloc);
    void *memory = next(count, size);
    if (memory == NULL)
        abort();
    return memory;
}

void *realloc(void *old, size_t size)
{
    static __typeof__(&realloc) next;
    if (next == NULL)
        next = NEXT(realloc);
    void *memory = next(old, size);
    if (memory == NULL && size > 0) /* realloc(old, 0) frees */
        abort();
    return memory;
}
