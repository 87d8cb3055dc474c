/* One detached thread per lookup. The lookup is shared by the loop's thread and that one; whoever
 * lets go of it last frees it, so that neither waits for the other. */
#include "services/common/database/host_lookup.h"
#include "services/common/memory.h"
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct host_lookup {
    atomic_uint references; /* the loop's thread and the lookup's */
    int finished_fd;
    atomic_bool finished;
    struct server_list asked;
    struct server_list found; /* written by the thread until `finished` */
    struct error error;
};

static void release(struct host_lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->references, 1) > 1)
        return;
    close(lookup->finished_fd);
    free(lookup);
}

/* The thread's last act, or the loop's when there is no thread. */
static void finish(struct host_lookup *lookup)
{
    atomic_store(&lookup->finished, true);
    (void)eventfd_write(lookup->finished_fd, 1); /* cannot fail: it is written once */
    release(lookup);
}

static int resolve(const char *host, int flags, struct addrinfo **ret_addresses)
{
    const struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM};
    return getaddrinfo(host, NULL, &hints, ret_addresses);
}

static bool needs_lookup(const struct server *server)
{
    /* '/' and '@' begin a Unix socket (libpq, "host") */
    if (server->address[0] != '\0' || strchr("/@", server->host[0]) != NULL)
        return false;
    struct addrinfo *addresses;
    if (resolve(server->host, AI_NUMERICHOST, &addresses) != 0)
        return true;
    freeaddrinfo(addresses);
    return false;
}

/* Append one entry per address of `server`. */
static void look_up(struct host_lookup *lookup, const struct server *server)
{
    struct server_list *found = &lookup->found;
    struct addrinfo *addresses;
    int status = resolve(server->host, AI_ADDRCONFIG, &addresses);
    if (status == EAI_NONAME || status == EAI_ADDRFAMILY) /* a machine with nothing but loopback */
        status = resolve(server->host, 0, &addresses);
    if (status != 0) {
        error_set(&lookup->error, "could not resolve host \"%s\": %s", server->host,
                  gai_strerror(status));
        return;
    }
    for (struct addrinfo *a = addresses; a != NULL && found->count < SERVERS_MAX; a = a->ai_next) {
        struct server *entry = &found->items[found->count];
        *entry = *server;
        if (getnameinfo(a->ai_addr, a->ai_addrlen, entry->address, sizeof entry->address, NULL, 0,
                        NI_NUMERICHOST) == 0)
            found->count++;
    }
    freeaddrinfo(addresses);
}

static void *run(void *arg)
{
    struct host_lookup *lookup = arg;
    for (size_t i = 0; i < lookup->asked.count && lookup->found.count < SERVERS_MAX; i++) {
        const struct server *server = &lookup->asked.items[i];
        if (needs_lookup(server))
            look_up(lookup, server);
        else
            lookup->found.items[lookup->found.count++] = *server;
    }
    finish(lookup);
    return NULL;
}

struct host_lookup *host_lookup_start(const struct server_list *servers)
{
    bool needed = false;
    for (size_t i = 0; i < servers->count && !needed; i++)
        needed = needs_lookup(&servers->items[i]);
    if (!needed)
        return NULL;

    struct host_lookup *lookup = memory_new(sizeof *lookup);
    lookup->asked = *servers;
    atomic_init(&lookup->references, 2);
    lookup->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->finished_fd < 0)
        abort(); /* out of descriptors, as event_loop does */

    pthread_attr_t attributes;
    sigset_t all;
    sigfillset(&all); /* signals are the main thread's */
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_attr_setsigmask_np(&attributes, &all) != 0)
        abort();
    if (pthread_create(&thread, &attributes, run, lookup) != 0) {
        error_set(&lookup->error, "could not start a thread to resolve host names");
        finish(lookup);
    }
    pthread_attr_destroy(&attributes);
    return lookup;
}

int host_lookup_fd(const struct host_lookup *lookup)
{
    return lookup->finished_fd;
}

int host_lookup_servers(const struct host_lookup *lookup, struct server_list *ret_servers,
                        struct error *err)
{
    if (!atomic_load(&lookup->finished)) {
        error_set(err, "host names are not resolved yet");
        return -1;
    }
    if (lookup->found.count == 0) {
        error_set(err, "%s", lookup->error.message);
        return -1;
    }
    *ret_servers = lookup->found;
    return 0;
}

void host_lookup_free(struct host_lookup *lookup)
{
    if (lookup != NULL)
        release(lookup);
}
