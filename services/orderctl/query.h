/* Paths of requests: a path, then parameters, percent-encoded (RFC 3986). */
#ifndef ORDERCTL_QUERY_H
#define ORDERCTL_QUERY_H

#include <stddef.h>

struct query {
    char *text; /* the path so far; free() it */
    size_t parameters;
};

/* A path made as by printf(). */
struct query query_new(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Add name=value; nothing when value is NULL. */
void query_add(struct query *query, const char *name, const char *value);
void query_add_number(struct query *query, const char *name, long long value);

#endif
