/* Collects how the system is while somebody asks: once a second, and for some seconds after the
 * last question. On one loop. */
#ifndef GATEWAY_ADAPTERS_STATUS_COLLECTOR_H
#define GATEWAY_ADAPTERS_STATUS_COLLECTOR_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/gateway/ports/system_status.h"
#include "services/loop/event_loop.h"
#include <stdint.h>

/* Nothing is copied. */
struct status_collector_options {
    const char *service_urls; /* SERVICE_ADMIN_URLS, or NULL */
    const char *admin_address;
    uint16_t admin_port;
    const char *dsn;
    const char *queue;
    const struct elasticsearch_options *elasticsearch; /* of the limits, none is used */
    const char *index;
};

struct status_collector;

struct status_collector *status_collector_new(struct event_loop *loop,
                                              const struct status_collector_options *options);
void status_collector_free(struct status_collector *collector); /* NULL is legal */

/* As system_status.ask, but that the answer may come at once, from inside the call. */
void status_collector_ask(struct status_collector *collector, system_status_done_fn *on_done,
                          void *arg);

#endif
