/* What Elasticsearch says about a failure. */
#ifndef INDEXER_SERVER_ERROR_H
#define INDEXER_SERVER_ERROR_H

#include "proto/error.h"
#include <jansson.h>
#include <stddef.h>

/* `json` is the "error" member of an answer or of a bulk item: an object with "type" and "reason",
 * or, from a proxy or an old server, anything else, or NULL. Writes "type: reason", as far as there
 * is any. */
void server_error_describe(const json_t *json, struct error *err);

/* The same from a whole answer with any body. */
void server_error_from_body(const char *body, size_t len_bytes, struct error *err);

#endif
