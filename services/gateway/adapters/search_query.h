/* What Elasticsearch is asked for a search term. */
#ifndef GATEWAY_SEARCH_QUERY_H
#define GATEWAY_SEARCH_QUERY_H

#include <stddef.h>

/* The body of a _search (malloc'd; its length is *ret_len): a match of product_name with the term
 * as it is, in NFC and in NFD (Unicode, UAX #15), as far as these differ. Of what is not UTF-8 the
 * replacement character takes the place. */
char *search_query_new(const char *term, size_t term_len, unsigned size, unsigned from,
                       size_t *ret_len);

#endif
