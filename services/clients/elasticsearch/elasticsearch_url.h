/* Where Elasticsearch is, as configured. */
#ifndef CLIENTS_ELASTICSEARCH_ELASTICSEARCH_URL_H
#define CLIENTS_ELASTICSEARCH_ELASTICSEARCH_URL_H

#include "proto/error.h"

struct elasticsearch_url {
    char *base; /* scheme, host, port and prefix, without a slash at the end and credentials */
    char *user, *password; /* decoded; NULL when there is none */
};

/* Parse http[s]://[user:password@]host[:port][/prefix]. Returns 0 and *ret_url, to be released with
 * elasticsearch_url_release(), or -1 with `err` set (without any part of the text). */
int elasticsearch_url_parse(const char *text, struct elasticsearch_url *ret_url, struct error *err)
    __attribute__((warn_unused_result));
void elasticsearch_url_release(struct elasticsearch_url *url);

#endif
