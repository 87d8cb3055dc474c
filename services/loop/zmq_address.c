/* A name is looked up in the background, and its addresses are offered one after the other. */
#include "services/loop/zmq_address.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/loop/name_lookup.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000
#define TCP "tcp://"

struct zmq_address {
    struct event_loop *loop;
    zmq_address_moved_fn *on_moved;
    void *arg;
    char name[ENDPOINT_SIZE];     /* empty: the endpoint has an address, or a path */
    char port[ENDPOINT_SIZE];     /* with its colon */
    char endpoint[ENDPOINT_SIZE]; /* empty: not known yet */
    struct name_lookup *lookup;   /* while one is under way */
    bool next;                    /* nobody answers at `endpoint` */
    int64_t next_look_ms;
};

struct zmq_address *zmq_address_new(struct event_loop *loop, const char *endpoint,
                                    zmq_address_moved_fn *on_moved, void *arg)
{
    struct zmq_address *address = memory_new(sizeof *address);
    address->loop = loop;
    address->on_moved = on_moved;
    address->arg = arg;
    const char *host = endpoint + strlen(TCP), *port = strrchr(endpoint, ':');
    if (strncmp(endpoint, TCP, strlen(TCP)) == 0 && *host != '[') {
        (void)snprintf(address->name, sizeof address->name, "%.*s", (int)(port - host), host);
        (void)snprintf(address->port, sizeof address->port, "%s", port); /* both fit */
    }
    struct in_addr numeric;
    if (address->name[0] == '\0' || inet_pton(AF_INET, address->name, &numeric) == 1) {
        address->name[0] = '\0';
        (void)snprintf(address->endpoint, sizeof address->endpoint, "%s", endpoint); /* it fits */
    }
    return address;
}

void zmq_address_free(struct zmq_address *address)
{
    if (address == NULL)
        return;
    name_lookup_free(address->lookup);
    free(address);
}

static void on_looked_up(void *arg, const struct name_lookup_result *result)
{
    struct zmq_address *address = arg;
    char endpoints[NAME_LOOKUP_ADDRESSES_MAX][ENDPOINT_SIZE];
    size_t chosen = 0;
    for (size_t i = 0; i < result->count; i++) {
        const char *host = result->addresses[i];
        bool ipv6 = strchr(host, ':') != NULL;
        if (snprintf(endpoints[i], sizeof endpoints[i], TCP "%s%s%s%s", ipv6 ? "[" : "", host,
                     ipv6 ? "]" : "", address->port) >= ENDPOINT_SIZE)
            abort(); /* a numeric address and a port fit */
        if (strcmp(endpoints[i], address->endpoint) == 0)
            chosen = address->next ? (i + 1) % result->count : i;
    }
    bool moved = result->count > 0 && strcmp(endpoints[chosen], address->endpoint) != 0;
    if (moved)
        memcpy(address->endpoint, endpoints[chosen], sizeof address->endpoint);
    address->next = false;
    name_lookup_free(address->lookup);
    address->lookup = NULL;
    if (moved)
        address->on_moved(address->arg);
}

void zmq_address_look(struct zmq_address *address, bool next)
{
    int64_t now_ms = clock_monotonic_ms();
    address->next |= next;
    if (address->name[0] == '\0' || address->lookup != NULL || now_ms < address->next_look_ms)
        return;
    address->next_look_ms = now_ms + LOOK_MS;
    address->lookup = name_lookup_new(address->loop, address->name, on_looked_up, address);
}

const char *zmq_address_endpoint(const struct zmq_address *address)
{
    return address->endpoint[0] != '\0' ? address->endpoint : NULL;
}
