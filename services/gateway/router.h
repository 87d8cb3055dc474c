/* Finds the route of a request, after refusing what no route should see. */
#ifndef GATEWAY_ROUTER_H
#define GATEWAY_ROUTER_H

#include "services/gateway/api.h"
#include "services/http/request_head.h"
#include <h2o.h>

/* A longer body is refused by libh2o before it is read; up to here it is read, so that the client
 * gets the 413 and not a reset connection. */
#define ROUTER_BODY_READ_MAX_BYTES (2 * 1024 * 1024)

/* Register the metrics of all routes; before threads start. */
void router_register_metrics(void);

/* A row of the table. */
struct route_description {
    const char *name;
    const char *path;    /* "{}" stands for one segment */
    const char *methods; /* "GET, HEAD" or "POST" */
    const int *statuses; /* ends with 0 */
};

/* Returns whether there is a route of this index. */
bool router_describe(size_t index, struct route_description *ret);

/* Whether a port, the admin port or the API port, has the route of this index. */
bool router_shows(size_t index, const struct api_settings *settings, bool admin);

/* The time to receive a request, from its first byte to its last. */
#define ROUTER_REQUEST_TIMEOUT_MS 10000

/* The routes of one port. */
struct router {
    struct api *api;
    bool admin; /* the admin port: it has every route, and /readyz gives reasons */
};

/* Answer a request with the routes of `router` (a struct router). For http_server_options.handle.
 */
void router_handle(void *router, h2o_req_t *req, enum request_head_fault fault);

/* Give what libh2o answers by itself the form of the other errors. For http_server_options.attach.
 */
void router_attach(void *router, h2o_hostconf_t *host);

#endif
