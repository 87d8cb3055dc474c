/* One replica of a service: what it said when it was last asked, and since when it says so. */
#ifndef GATEWAY_ADAPTERS_SERVICE_REPLICA_H
#define GATEWAY_ADAPTERS_SERVICE_REPLICA_H

#include "services/clients/http/http_client.h"
#include "services/gateway/adapters/replica_answer.h"
#include <stdbool.h>
#include <stdint.h>

#define SERVICE_REPLICA_ADDRESS_SIZE 80

struct service_replica {
    char name[REPLICA_SERVICE_SIZE];            /* of the service, or the host of its URL */
    const char *url;                            /* not copied */
    char address[SERVICE_REPLICA_ADDRESS_SIZE]; /* HOST:PORT; "" when the URL's name has none */
    enum replica_status status;
    int64_t since_us; /* when this gateway first saw the status (timestamp.h) */
    struct replica_reasons reasons;
    struct replica_metrics metrics;
    double rates[METRIC_COUNTERS]; /* per second, since it was asked before; NAN: unknown */

    /* private */
    struct http_client *client;
    void (*on_answered)(void *arg);
    void *arg;
    int64_t deadline_ms;
    bool asked;    /* a request is under way */
    bool answered; /* or has failed to, since it was last asked */
    double before[REPLICA_METRICS];
    int64_t before_ms; /* 0: never */
};

/* Set up a replica that was not asked yet. on_answered() comes from the loop when a question has
 * come to its end; `client` is for service_replica_ask(). */
void service_replica_init(struct service_replica *replica, const char *name, const char *url,
                          const char *address, struct http_client *client,
                          void (*on_answered)(void *arg), void *arg);

/* Ask it over the network: for /readyz and then for /metrics over the same connection. */
void service_replica_ask(struct service_replica *replica, int64_t timeout_ms);

/* This very process: told at once, without on_answered(). */
void service_replica_ask_self(struct service_replica *replica);

/* It has not answered, for this reason; without on_answered(). */
void service_replica_set_unreachable(struct service_replica *replica, const char *reason);

/* Whether its question has come to its end. */
bool service_replica_answered(const struct service_replica *replica);

#endif
