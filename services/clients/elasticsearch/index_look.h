/* What a look at the index of the orders says: which index it is, and whether orders can be written
 * to it and found. */
#ifndef CLIENTS_ELASTICSEARCH_INDEX_LOOK_H
#define CLIENTS_ELASTICSEARCH_INDEX_LOOK_H

#include "proto/error.h"
#include "services/clients/elasticsearch/index_names.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The look is GET /INDEX with this query, for which view_index_metadata is enough. The answer
 * leaves out an index that has nothing of this list. The uuid is in the list because each index has
 * one. */
#define INDEX_LOOK_QUERY                                                                           \
    "filter_path=error,*.aliases,*.mappings.dynamic,*.mappings.properties.*.type,"                 \
    "*.mappings._meta,*.settings.index.uuid,*.settings.index.history.uuid,"                        \
    "*.settings.index.verified_before_close"

#define INDEX_IDENTITY_SIZE 64
#define INDEX_DEPLOYMENT_SIZE 40

enum index_form {
    INDEX_ABSENT,   /* neither an index nor an alias has the name */
    INDEX_CONCRETE, /* an index has it */
    INDEX_ALIAS,    /* an alias has it */
};

struct index_look {
    enum index_form form;
    size_t indices;                         /* of the alias; 1 for a concrete index */
    char name[INDEX_NAME_SIZE];             /* of the index that is written to; empty: none */
    char identity[INDEX_IDENTITY_SIZE];     /* two indices with the same name differ in it, and so
                                               do an index and its restored snapshot */
    char deployment[INDEX_DEPLOYMENT_SIZE]; /* of _meta; empty: none */
    int64_t reindex_job;                    /* of _meta: the job that builds the index; or 0 */
    bool created_at_is_date, amount_is_number, amount_is_float;
};

/* Read the body of an answer with status 200. `name` is the name of an index or of an alias.
 * Returns 0, or -1 with `err` saying why orders cannot be written to it or found. *ret_look is
 * filled in both cases, as far as the answer goes. */
int index_look_read(const char *name, const char *body, size_t len_bytes,
                    struct index_look *ret_look, struct error *err)
    __attribute__((warn_unused_result));

/* Whether the answer to a look says that nothing has the name. */
bool index_look_is_absent(long status, const char *error_type);

/* Whether an index whose _meta names `of_index` (empty: no deployment) is another deployment's than
 * that of this id. */
bool index_is_foreign(const char *of_index, const char *deployment);

/* Whether a mapping takes every order, and search finds products. Returns 0, or -1 with `err`
 * saying which field does not fit. */
int index_look_judge_mapping(const json_t *mappings, struct error *err)
    __attribute__((warn_unused_result));

/* Else the documents cannot be counted by the hour, and so not compared with PostgreSQL. */
bool index_look_created_at_is_date(const json_t *mappings);

#endif
