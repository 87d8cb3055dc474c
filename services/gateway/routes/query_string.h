/* Parameters of a URL's query (application/x-www-form-urlencoded, WHATWG URL 5.1). */
#ifndef GATEWAY_ROUTES_QUERY_STRING_H
#define GATEWAY_ROUTES_QUERY_STRING_H

#include <stdbool.h>
#include <stddef.h>

enum query_result {
    QUERY_FOUND,
    QUERY_ABSENT,
    QUERY_MALFORMED, /* a bad %-escape, or longer than the caller's buffer */
};

/* Decode the first parameter `name` of `query` (without '?') into `value` (no NUL is added). */
enum query_result query_text(const char *query, size_t query_len, const char *name, char *value,
                             size_t size, size_t *ret_len);

/* Whether every parameter has one of these names (a list that ends with NULL), and each of them
 * comes once at most. */
bool query_names_known(const char *query, size_t query_len, const char *const *names);

/* The parameter as a whole number within [minimum, maximum]; *number is unchanged when it is
 * absent.
 */
enum query_result query_number(const char *query, size_t query_len, const char *name,
                               unsigned minimum, unsigned maximum, unsigned *number);

#endif
