/* The indices that a reindex deals with: the one of the orders, or those behind its alias, and all
 * whose names begin with its name. Pure: reads an answer of Elasticsearch. */
#ifndef SCHEDULER_INDEX_INDEX_LISTING_H
#define SCHEDULER_INDEX_INDEX_LISTING_H

#include "proto/error.h"
#include "services/clients/elasticsearch/index_look.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The alias by which a job writes to the index that it builds, until the swap; and the one that the
 * index has instead, with the old ones, from the swap until these are deleted or left alone. */
#define INDEX_BUILT_ALIAS_FORMAT "%s-reindex-%" PRId64
#define INDEX_SWAPPED_ALIAS_FORMAT "%s-reindexed-%" PRId64
#define INDEX_BUILT_ALIAS_SIZE (INDEX_NAME_SIZE + 32)

#define INDEX_LISTING_PATH_SIZE (2 * INDEX_NAME_SIZE + 160)
#define INDEX_LISTING_MAX 1000 /* more indices: it is not read */

struct listed_index {
    char name[INDEX_NAME_SIZE];
    char deployment[INDEX_DEPLOYMENT_SIZE]; /* of _meta; empty: none */
    bool in_use;      /* it has the name of the orders' index, as its own or as an alias */
    bool is_written;  /* in_use, and orders go to it */
    bool is_concrete; /* in_use: the name is its own */
    bool numbered;    /* its name is one of ours (index_names.h) */
    int64_t built_by; /* of _meta: the reindex that builds it, or has not ended; 0: none */
    bool is_open;     /* built_by: it has the first alias of that job, */
    bool is_swapped;  /* or the second */
};

struct index_listing {
    size_t count;
    struct listed_index *indices; /* by number, as the server lists them */
    unsigned next_number;         /* of a new index */
};

/* The path of the GET. `index`: ORDER_INDEX. */
void index_listing_path(const char *index, char path[INDEX_LISTING_PATH_SIZE]);

/* Read the body of an answer with status 200. Returns 0 and a listing, to be released, or -1 with
 * `err` set. */
int index_listing_read(const char *index, const char *body, size_t len_bytes,
                       struct index_listing *ret_listing, struct error *err)
    __attribute__((warn_unused_result));
void index_listing_release(struct index_listing *listing);

/* The index with this name, or NULL. */
const struct listed_index *index_listing_find(const struct index_listing *listing,
                                              const char *name);

/* An index that is in use and belongs to another deployment than this one, or NULL. */
const struct listed_index *index_listing_foreign(const struct index_listing *listing,
                                                 const char *deployment);

#endif
