/* Preloaded into a service (LD_PRELOAD): names are looked up in the file that TEST_HOSTS names,
 * lines of "name address", each time anew. All other names go to the system. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SIZE 64

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Whether the name is in the file. */
static int find(const char *name, char ret_address[WORD_SIZE])
{
    char candidate[WORD_SIZE];
    const char *path = getenv("TEST_HOSTS");
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    int found = 0;
    while (file != NULL && !found && fscanf(file, "%63s %63s", candidate, ret_address) == 2)
        found = strcmp(candidate, name) == 0;
    if (file != NULL)
        (void)fclose(file);
    return found;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    char address[WORD_SIZE];
    resolve_fn *resolve = (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (resolve == NULL)
        abort();
    return resolve(name != NULL && find(name, address) ? address : name, service, hints, ret);
}
