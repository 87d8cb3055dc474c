/* Preloaded into a service (LD_PRELOAD): names are looked up in the file that TEST_HOSTS names,
 * lines of "name address", each time anew; a name may have several lines. All other names go to the
 * system. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SIZE 64

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Read on until the next line of the name. */
static int find(FILE *file, const char *name, char ret_address[WORD_SIZE])
{
    char candidate[WORD_SIZE];
    while (fscanf(file, "%63s %63s", candidate, ret_address) == 2)
        if (strcmp(candidate, name) == 0)
            return 1;
    return 0;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    resolve_fn *resolve = (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (resolve == NULL)
        abort();
    const char *path = getenv("TEST_HOSTS");
    FILE *file = name != NULL && path != NULL ? fopen(path, "re") : NULL;
    char address[WORD_SIZE];
    struct addrinfo **end = ret;
    int rc = 0;
    *ret = NULL;
    while (file != NULL && rc == 0 && find(file, name, address)) {
        rc = resolve(address, service, hints, end);
        while (rc == 0 && *end != NULL)
            end = &(*end)->ai_next; /* freeaddrinfo(3) frees one by one */
    }
    if (file != NULL)
        (void)fclose(file);
    return *ret != NULL || rc != 0 ? rc : resolve(name, service, hints, ret);
}
