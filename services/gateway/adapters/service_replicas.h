/* The other services' replicas, which are asked how they are: each address of each URL of
 * SERVICE_ADMIN_URLS is one. Of a name that has IPv4 and IPv6 addresses, those of IPv4 are taken.
 * This gateway itself is the first, and is not asked over the network. On one loop. */
#ifndef GATEWAY_ADAPTERS_SERVICE_REPLICAS_H
#define GATEWAY_ADAPTERS_SERVICE_REPLICAS_H

#include "services/gateway/adapters/service_replica.h"
#include "services/loop/event_loop.h"

#define SERVICE_REPLICAS_MAX 256 /* others than this gateway */
#define SERVICE_REPLICAS_TIMEOUT_MS 1000
#define SERVICE_REPLICAS_ANSWERS_MAX_BYTES (16 * 1024 * 1024) /* of all at once */

struct service_replicas_options {
    const char *urls;        /* SERVICE_ADMIN_URLS, or NULL: none; not copied */
    const char *own_address; /* of this gateway's admin port */
    uint16_t own_port;
    void (*on_told)(void *arg); /* service_replicas_ask() has come to its end */
    void *arg;
};

struct service_replicas;

struct service_replicas *service_replicas_new(struct event_loop *loop,
                                              const struct service_replicas_options *options);
void service_replicas_free(struct service_replicas *replicas); /* NULL is legal */

/* Ask all, in parallel; on_told() comes from the loop within SERVICE_REPLICAS_TIMEOUT_MS. Not while
 * another question is under way. */
void service_replicas_ask(struct service_replicas *replicas);

/* What was told: the replica of this index, or NULL after the last one. Lives until the next
 * question. */
const struct service_replica *service_replicas_at(const struct service_replicas *replicas,
                                                  size_t index);

/* What is wrong with SERVICE_ADMIN_URLS now, or NULL. */
const char *service_replicas_fault(const struct service_replicas *replicas);

#endif
