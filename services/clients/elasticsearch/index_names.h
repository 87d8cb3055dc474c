/* The names of the indices behind the alias of the orders: ORDERS-000001, ORDERS-000002, … */
#ifndef CLIENTS_ELASTICSEARCH_INDEX_NAMES_H
#define CLIENTS_ELASTICSEARCH_INDEX_NAMES_H

#include "proto/error.h"
#include <stddef.h>

#define INDEX_NAME_SIZE 256
#define INDEX_NUMBER_MAX 999999u

/* The listing is GET /ORDERS-* with this query, for which view_index_metadata is enough. The answer
 * to a user who sees no index is 403, or has none. */
#define INDEX_NAMES_QUERY "expand_wildcards=all&filter_path=error,*.settings.index.uuid"

/* Write the name with this number, 1 to INDEX_NUMBER_MAX. `alias` must be one that
 * elasticsearch_index_validate() accepts. */
void index_names_write(const char *alias, unsigned number, char ret_name[INDEX_NAME_SIZE]);

/* The number of an index with a name of ours; 0 for any other name. */
unsigned index_names_number(const char *alias, const char *name);

/* Read the number of the next index, the highest existing one + 1, from the answer with status 200
 * to a listing. Returns 0, or -1 with `err` set. */
int index_names_next(const char *alias, const char *body, size_t len_bytes, unsigned *ret_number,
                     struct error *err) __attribute__((warn_unused_result));

#endif
