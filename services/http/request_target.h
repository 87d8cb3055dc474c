/* The target of an HTTP request, and the host that the request is for: RFC 9112, 3.2. Nothing is
 * decoded or normalised: a path is what was sent, as the proxies before this server have seen it.
 */
#ifndef HTTP_REQUEST_TARGET_H
#define HTTP_REQUEST_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct request_text {
    const char *base; /* not terminated, and owned by whoever owns the request's bytes */
    size_t len;
};

/* Whether this may be a target at all: visible ASCII characters, and in absolute form (http or
 * https) an authority with a host and without user information (RFC 9110, 4.2). */
bool request_target_valid(struct request_text target);

/* Whether this may be the value of a Host field: a host, perhaps with a port, or nothing. */
bool request_host_valid(struct request_text value);

/* The path of a target in origin form or absolute form, without its query. "/" for an absolute form
 * without path (RFC 9110, 4.2.3). A target in another form is returned whole: no path is equal to
 * it, because it does not begin with a slash. */
struct request_text request_target_path(struct request_text target);

#endif
