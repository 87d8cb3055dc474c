/* The request header Prefer (RFC 7240). One preference is known here, `wait`. */
#ifndef GATEWAY_PREFER_H
#define GATEWAY_PREFER_H

#include "services/gateway/request.h"

#define PREFER_WAIT_MAX_S 10

/* The seconds of `wait`, 1 to PREFER_WAIT_MAX_S; 0 when the client prefers nothing like that. A
 * value out of these bounds, and what is not in the header's form, is ignored, as a server may. */
unsigned prefer_wait_s(const struct request *request);

/* The same of one line of the header. Returns false, and leaves *ret_wait_s, when the line does not
 * name `wait`. */
bool prefer_line_wait_s(const char *line, size_t len, unsigned *ret_wait_s);

#endif
