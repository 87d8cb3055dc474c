/* Whether a client has the newest state of a resource already (RFC 9110, 8.8.3 and 13.1.2). */
#ifndef GATEWAY_ENTITY_TAG_H
#define GATEWAY_ENTITY_TAG_H

#include <h2o.h>
#include <stdbool.h>

/* Whether If-None-Match names `tag` (as ETag has it), by the weak comparison, or is "*". A line
 * that is not in its form counts up to there. */
bool entity_tag_matches(const h2o_headers_t *headers, const char *tag);

#endif
