/* What Elasticsearch says about a failure. */
#ifndef CLIENTS_ELASTICSEARCH_SERVER_ERROR_H
#define CLIENTS_ELASTICSEARCH_SERVER_ERROR_H

#include "proto/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct server_error {
    char type[64];      /* "index_not_found_exception"; empty when there is none */
    struct error words; /* "type: reason", as far as there is any */
};

/* Read the "error" member of an answer or of a bulk item: an object with "type" and "reason", or,
 * from a proxy or an old server, anything else, or NULL. */
void server_error_read(const json_t *json, struct server_error *ret_error);

/* The same from a whole answer with any body. */
void server_error_parse(const char *body, size_t len_bytes, struct server_error *ret_error);

bool server_error_is(const struct server_error *error, const char *type);

/* Where the server refuses a user that it knows (`status` 403 and security_exception), name the
 * privilege in front of the server's words, which may be too long for where they are shown.
 * `privilege` is Elasticsearch's name for what was asked. */
void server_error_name_privilege(struct server_error *error, long status, const char *privilege);

#endif
