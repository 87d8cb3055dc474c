#include "services/clients/postgres/server_lookup.h"
#include "services/base/memory.h"
#include "services/loop/name_lookup.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(((struct server *)0)->address) >= NAME_LOOKUP_ADDRESS_SIZE,
               "an address fits");

struct server_lookup {
    struct event_loop *loop;
    server_lookup_done_fn *on_done;
    void *arg;
    struct server_list asked, found;
    size_t next; /* of `asked` */
    struct name_lookup *name;
    struct error error; /* of the last name that was not resolved */
};

static bool is_name(const struct server *server)
{
    unsigned char address[sizeof(struct in6_addr)];
    /* '/' and '@' begin a Unix socket (libpq, "host"); no host is the default one */
    return server->address[0] == '\0' && strchr("/@", server->host[0]) == NULL &&
           inet_pton(AF_INET, server->host, address) != 1 &&
           inet_pton(AF_INET6, server->host, address) != 1;
}

static void add(struct server_lookup *lookup, const struct server *server, const char *address)
{
    struct server_list *found = &lookup->found;
    if (found->count == SERVERS_MAX)
        return;
    struct server *entry = &found->items[found->count++];
    *entry = *server;
    if (address != NULL)
        strcpy(entry->address, address);
}

static void look_up_next(struct server_lookup *lookup);

static void on_name(void *arg, const struct name_lookup_result *result)
{
    struct server_lookup *lookup = arg;
    const struct server *server = &lookup->asked.items[lookup->next++];
    for (size_t i = 0; i < result->count; i++)
        add(lookup, server, result->addresses[i]);
    if (result->count == 0)
        lookup->error = result->error;
    name_lookup_free(lookup->name);
    lookup->name = NULL;
    look_up_next(lookup);
}

/* Up to the next name; and when all are known, tell. */
static void look_up_next(struct server_lookup *lookup)
{
    for (; lookup->next < lookup->asked.count; lookup->next++) {
        const struct server *server = &lookup->asked.items[lookup->next];
        if (is_name(server)) {
            lookup->name = name_lookup_new(lookup->loop, server->host, on_name, lookup);
            return;
        }
        add(lookup, server, NULL);
    }
    lookup->on_done(lookup->arg, lookup->found.count > 0 ? &lookup->found : NULL, &lookup->error);
}

struct server_lookup *server_lookup_new(struct event_loop *loop, const struct server_list *servers,
                                        server_lookup_done_fn *on_done, void *arg)
{
    size_t i = 0;
    while (i < servers->count && !is_name(&servers->items[i]))
        i++;
    if (i == servers->count)
        return NULL;
    struct server_lookup *lookup = memory_new(sizeof *lookup);
    lookup->loop = loop;
    lookup->on_done = on_done;
    lookup->arg = arg;
    lookup->asked = *servers;
    look_up_next(lookup); /* there is a name, so it does not tell from here */
    return lookup;
}

void server_lookup_free(struct server_lookup *lookup)
{
    if (lookup == NULL)
        return;
    name_lookup_free(lookup->name);
    free(lookup);
}
