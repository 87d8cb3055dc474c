/* The answer of GET /api/admin/status, from what was collected. */
#ifndef GATEWAY_ADAPTERS_STATUS_REPORT_H
#define GATEWAY_ADAPTERS_STATUS_REPORT_H

#include "services/clients/postgres/overview.h"
#include "services/gateway/adapters/service_replica.h"
#include "services/runtime/health.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may be wrong besides a service. */
enum status_trouble {
    TROUBLE_NO_CONSUMER,
    TROUBLE_POSTGRES,
    TROUBLE_ELASTICSEARCH,
    TROUBLE_ARCHIVE,
    TROUBLE_URLS,
    STATUS_TROUBLES,
};

struct status_facts {
    int64_t at_us;                                 /* timestamp.h */
    const struct service_replica *const *replicas; /* this gateway is the first */
    size_t replica_count;
    const struct health_state *dependencies; /* of this gateway */
    size_t dependency_count;
    bool urls_set;                    /* SERVICE_ADMIN_URLS names services */
    const char *urls_fault;           /* or NULL */
    json_t *overview[OVERVIEW_PARTS]; /* NULL: not answered */
    json_t *jobs;                     /* NULL: not answered */
    double documents;                 /* NAN: not answered */
    const char *queue;                /* the name of this gateway's */
};

/* Since when each trouble is there; zeroed at first. */
struct status_memory {
    int64_t since_us[STATUS_TROUBLES];
};

/* malloc'd; free() it. */
char *status_report_render(const struct status_facts *facts, struct status_memory *memory,
                           size_t *ret_len);

#endif
