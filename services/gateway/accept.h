/* What a client would rather have (RFC 9110, 12.5): of two forms of an answer, and of its bytes.
 * Elements of these headers that are not in their form are passed over. */
#ifndef GATEWAY_ACCEPT_H
#define GATEWAY_ACCEPT_H

#include <h2o.h>
#include <stdbool.h>

/* Whether Accept wants text/html more than application/json. A client that does not care, or says
 * nothing, does not. Parameters of a media type are not looked at, because no form has another one.
 */
bool accept_prefers_html(const h2o_headers_t *headers);

/* Whether Accept-Encoding takes gzip, and does not want the plain bytes more. */
bool accept_takes_gzip(const h2o_headers_t *headers);

#endif
