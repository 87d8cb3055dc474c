/* What a look at the index of the orders says: whether orders can be written to it and found. */
#ifndef INDEXER_INDEX_LOOK_H
#define INDEXER_INDEX_LOOK_H

#include "proto/error.h"
#include <stddef.h>

/* The look is GET /INDEX with this query, for which view_index_metadata is enough. The uuid is
 * there so that each index is named in the answer, whatever else it has. */
#define INDEX_LOOK_QUERY                                                                           \
    "filter_path=error,*.aliases,*.mappings.dynamic,*.mappings.properties.*.type,"                 \
    "*.settings.index.uuid,*.settings.index.verified_before_close"

/* Judge the body of an answer with status 200. `index` is the name of an index or of an alias.
 * Returns 0, or -1 with `err` saying what is wrong with it. */
int index_look_judge(const char *index, const char *body, size_t len_bytes, struct error *err)
    __attribute__((warn_unused_result));

#endif
