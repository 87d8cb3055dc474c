/* Makes libh2o read the heads of requests by request_head.h. Its own parser, picohttpparser, is
 * lenient in what it takes (folded lines, bare line feeds, any version 1.x), and refuses legal
 * white space behind a length. */
#ifndef HTTP_H2O_HEAD_H
#define HTTP_H2O_HEAD_H

#include "services/http/request_head.h"
#include <h2o.h>
#include <stdbool.h>

/* The fault of the head of a request that a handler has got; once for each request. Takes the field
 * off `req` by which the reader says this. `ret_len`: the head's length. `ret_last`: the connection
 * must end after the answer. */
enum request_head_fault h2o_head_take_verdict(h2o_req_t *req, size_t *ret_len, bool *ret_last);

/* libh2o declares both in a header that it does not install (deps/picohttpparser). */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

/* Called by libh2o for the bytes that a connection has received since the last request, each time
 * that more have come. Returns the length of the head, or -2 while the head is not complete.
 *
 * A head at fault is shown to libh2o as a request without fields and body: it reaches the handler
 * at once. The handler finds the fault by h2o_head_take_verdict(), answers, and ends the
 * connection. */
int phr_parse_request(const char *bytes, size_t len, const char **ret_method,
                      size_t *ret_method_len, const char **ret_path, size_t *ret_path_len,
                      int *ret_minor_version, struct phr_header *ret_headers, size_t *headers_len,
                      size_t last_len);

#endif
