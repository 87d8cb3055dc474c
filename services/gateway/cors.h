/* Scripts of other origins: what their browsers ask, and what the answers tell them (Fetch
 * standard, "CORS protocol"). A page may send the Authorization header and nothing that the browser
 * keeps by itself: no cookies, no client certificate. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "services/base/endpoint.h"
#include <h2o.h>
#include <stdbool.h>

/* Whose scripts may read the answers. */
struct cors {
    bool any;                     /* everybody's */
    struct endpoint_list origins; /* else those of these */
};

/* Read "*" or a list of origins, "https://shop.example,http://localhost:3000". They are compared as
 * they are, so each must be written as browsers send it. Returns 0, or -1 with `err` set. */
int cors_parse(const char *text, struct cors *ret, struct error *err)
    __attribute__((warn_unused_result));

/* The same, for config_option.validate. */
int cors_validate(const char *text, struct error *err);

/* Add to the answer what it tells the origin of the request. */
void cors_add_headers(const struct cors *cors, h2o_req_t *req);

/* Whether this is the question, from an origin that may ask it, which request may follow. */
bool cors_is_preflight(const struct cors *cors, const h2o_req_t *req);

/* Add the answer to it, beside that of cors_add_headers(). `methods` is static. */
void cors_add_preflight_headers(h2o_req_t *req, const char *methods);

#endif
