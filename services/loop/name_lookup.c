/* getaddrinfo(3) in the background. */
#include "services/loop/name_lookup.h"
#include "services/base/memory.h"
#include "services/loop/background.h"
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct work {
    struct name_lookup_result result;
    char host[];
};

struct name_lookup {
    struct work *work; /* the background's */
    struct background *background;
    name_lookup_done_fn *on_done;
    void *arg;
};

/* Not with AI_ADDRCONFIG: it knows nothing of loopback addresses, and keeps ::1 from a machine
 * whose other addresses are IPv4. Without it, addresses that cannot be reached come last (RFC
 * 6724). */
void name_resolve(const char *host, struct name_lookup_result *ret_result)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    struct name_lookup_result result = {.count = 0};
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc == 0) {
        for (struct addrinfo *a = found; a != NULL && result.count < NAME_LOOKUP_ADDRESSES_MAX;
             a = a->ai_next)
            if (getnameinfo(a->ai_addr, a->ai_addrlen, result.addresses[result.count],
                            NAME_LOOKUP_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
                result.count++;
        freeaddrinfo(found);
    }
    if (result.count == 0)
        error_set(&result.error, "cannot resolve \"%s\": %s", host,
                  rc != 0 ? gai_strerror(rc) : "no address");
    *ret_result = result;
}

static void resolve(void *arg)
{
    struct work *work = arg;
    name_resolve(work->host, &work->result);
}

static void on_done(void *arg, const struct error *failure)
{
    struct name_lookup *lookup = arg;
    if (failure != NULL)
        error_set(&lookup->work->result.error, "cannot resolve \"%s\": %s", lookup->work->host,
                  failure->message);
    lookup->on_done(lookup->arg, &lookup->work->result);
}

struct name_lookup *name_lookup_new(struct event_loop *loop, const char *host,
                                    name_lookup_done_fn *on_lookup_done, void *arg)
{
    size_t host_size = strlen(host) + 1;
    struct name_lookup *lookup = memory_new(sizeof(*lookup));
    lookup->work = memory_new(sizeof(*lookup->work) + host_size);
    memcpy(lookup->work->host, host, host_size);
    lookup->on_done = on_lookup_done;
    lookup->arg = arg;
    lookup->background = background_new(loop, &(struct background_call){.work = lookup->work,
                                                                        .run = resolve,
                                                                        .release = free,
                                                                        .on_done = on_done,
                                                                        .arg = lookup});
    return lookup;
}

void name_lookup_free(struct name_lookup *lookup)
{
    if (lookup == NULL)
        return;
    background_free(lookup->background);
    free(lookup);
}
