/* Origins are compared byte by byte: browsers serialise them in one way only (HTML, "ASCII
 * serialization of an origin"). An origin that no browser would send is refused with the
 * configuration. */
#include "services/gateway/cors.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define LOWER_CASE "abcdefghijklmnopqrstuvwxyz"
#define PREFLIGHT_MAX_AGE_S "600"

/* What the routes read of a request, and what they write that a script cannot read unless told.
 * A client that traces sends tracestate with traceparent (W3C Trace Context). */
#define REQUEST_HEADERS                                                                            \
    "authorization, content-type, idempotency-key, prefer, traceparent, tracestate, x-operator, "  \
    "x-request-id"
#define ANSWER_HEADERS                                                                             \
    "allow, location, preference-applied, retry-after, x-cache, x-request-id, x-search-incomplete"

/* ---- configuration ---- */

/* The length of a host at the beginning of `text`, or 0: a name in lower case, an IPv4 address, or
 * an IPv6 address in brackets in its shortest form. */
static size_t host_len(const char *text)
{
    if (*text != '[')
        return strspn(text, LOWER_CASE DIGITS ".-_");
    char address[INET6_ADDRSTRLEN], shortest[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t len = strcspn(text + 1, "]");
    if (text[1 + len] == '\0' || len >= sizeof(address))
        return 0;
    memcpy(address, text + 1, len);
    address[len] = '\0';
    if (inet_pton(AF_INET6, address, &parsed) != 1 ||
        inet_ntop(AF_INET6, &parsed, shortest, sizeof(shortest)) == NULL ||
        strcmp(address, shortest) != 0)
        return 0;
    return len + 2;
}

/* Whether ":port" is one that browsers write: the scheme's own they leave out. */
static bool is_port(const char *text, const char *scheme, size_t scheme_len)
{
    size_t len = strspn(text + 1, DIGITS);
    long port = strtol(text + 1, NULL, 10);
    bool own = (port == 80 && strncmp(scheme, "http", scheme_len) == 0 && scheme_len == 4) ||
               (port == 443 && strncmp(scheme, "https", scheme_len) == 0 && scheme_len == 5);
    return text[0] == ':' && text[1] != '0' && len > 0 && len <= 5 && text[1 + len] == '\0' &&
           port <= 65535 && !own;
}

static bool is_origin(const char *text)
{
    size_t scheme_len = strspn(text, LOWER_CASE DIGITS "+.-");
    if (scheme_len == 0 || strchr(DIGITS "+.-", text[0]) != NULL ||
        strncmp(text + scheme_len, "://", 3) != 0)
        return false;
    const char *host = text + scheme_len + 3, *end = host + host_len(host);
    return end > host && (*end == '\0' || is_port(end, text, scheme_len));
}

int cors_parse(const char *text, struct cors *ret, struct error *err)
{
    struct cors cors = {.any = strcmp(text, "*") == 0};
    if (endpoint_list_parse(text, &cors.origins, err) != 0)
        return -1;
    for (size_t i = 0; i < cors.origins.count && !cors.any; i++) {
        if (!is_origin(cors.origins.items[i])) {
            error_set(err, "must be * alone, or origins as browsers send them: "
                           "scheme://host[:port] in lower case, without the scheme's own port, "
                           "without a path or a slash at the end");
            return -1;
        }
    }
    *ret = cors;
    return 0;
}

int cors_validate(const char *text, struct error *err)
{
    struct cors cors;
    return cors_parse(text, &cors, err);
}

/* ---- requests and answers ---- */

static bool has_header(const h2o_req_t *req, const char *name)
{
    return h2o_find_header_by_str(&req->headers, name, strlen(name), -1) != -1;
}

/* What Access-Control-Allow-Origin says to the request, or NULL when it has no origin whose scripts
 * may read the answer. */
static const char *allowed_origin(const struct cors *cors, const h2o_req_t *req)
{
    if (cors->any)
        return "*";
    ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("origin"), -1);
    if (at == -1 || h2o_find_header_by_str(&req->headers, H2O_STRLIT("origin"), at) != -1)
        return NULL;
    h2o_iovec_t origin = req->headers.entries[at].value;
    for (size_t i = 0; i < cors->origins.count; i++)
        if (h2o_memis(origin.base, origin.len, cors->origins.items[i],
                      strlen(cors->origins.items[i])))
            return cors->origins.items[i];
    return NULL;
}

/* `value` lives as long as the process. */
static void add(h2o_req_t *req, const char *name, const char *value)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, value,
                          strlen(value));
}

void cors_add_headers(const struct cors *cors, h2o_req_t *req)
{
    const char *origin = allowed_origin(cors, req);
    if (!cors->any)
        add(req, "vary", "Origin"); /* also where there is none: a cache must know */
    if (origin == NULL)
        return;
    add(req, "access-control-allow-origin", origin);
    add(req, "access-control-expose-headers", ANSWER_HEADERS);
}

bool cors_is_preflight(const struct cors *cors, const h2o_req_t *req)
{
    return h2o_memis(req->method.base, req->method.len, H2O_STRLIT("OPTIONS")) &&
           has_header(req, "origin") && has_header(req, "access-control-request-method") &&
           allowed_origin(cors, req) != NULL;
}

void cors_add_preflight_headers(h2o_req_t *req, const char *methods)
{
    add(req, "access-control-allow-methods", methods);
    add(req, "access-control-allow-headers", REQUEST_HEADERS);
    add(req, "access-control-max-age", PREFLIGHT_MAX_AGE_S);
}
