#include "tests/unit/support/name_service.h"
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static pthread_mutex_t silence = PTHREAD_MUTEX_INITIALIZER; /* held while silent */
static const char *_Atomic found_address;

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    resolve_fn *resolve = (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && strcmp(name, "slow.test") == 0) {
        (void)pthread_mutex_lock(&silence);
        (void)pthread_mutex_unlock(&silence);
        return EAI_NONAME;
    }
    if (name && strcmp(name, "found.test") == 0) {
        name = found_address;
        if (!name)
            return EAI_NONAME;
    }
    return resolve(name, service, hints, ret);
}

void name_service_be_silent(void)
{
    (void)pthread_mutex_lock(&silence);
}

void name_service_speak(void)
{
    (void)pthread_mutex_unlock(&silence);
}

void name_service_set(const char *address)
{
    found_address = address;
}
