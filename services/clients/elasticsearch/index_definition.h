/* What an index of the orders is made of: the default settings and mapping, and over them those of
 * ORDER_INDEX_SETTINGS_FILE. */
#ifndef CLIENTS_ELASTICSEARCH_INDEX_DEFINITION_H
#define CLIENTS_ELASTICSEARCH_INDEX_DEFINITION_H

#include "proto/error.h"
#include <stdint.h>

#define INDEX_SETTINGS_FILE_MAX_BYTES 65536

struct index_definition;

/* `settings_file` NULL: the defaults. The file is JSON with "settings" and "mappings" as in the
 * body of PUT /INDEX, of at most INDEX_SETTINGS_FILE_MAX_BYTES. What it sets replaces the default,
 * null removes it. Returns NULL with `err` set when the file cannot be read, or the mapping would
 * not take every order, or search would not find products. Never blocks but for the disk. */
struct index_definition *index_definition_new(const char *settings_file, struct error *err)
    __attribute__((warn_unused_result));
void index_definition_free(struct index_definition *definition);

/* For config_option.validate. */
int index_definition_file_validate(const char *path, struct error *err)
    __attribute__((warn_unused_result));

/* What an index is made for. */
struct index_purpose {
    const char *alias;      /* its alias from the first moment on, as write index; or NULL */
    const char *deployment; /* for _meta; or NULL: not known */
    int64_t reindex_job;    /* for _meta: the job that builds the index, which is not refreshed
                               until index_definition_refresh() is sent; or 0 */
};

/* The body of PUT /NAME; free() it. */
char *index_definition_body(const struct index_definition *definition,
                            const struct index_purpose *purpose)
    __attribute__((returns_nonnull, warn_unused_result));

/* The body of PUT /NAME/_settings that refreshes a built index as any other; free() it. */
char *index_definition_refresh(const struct index_definition *definition)
    __attribute__((returns_nonnull, warn_unused_result));

/* The body of PUT /_index_template/NAME for an index with this name; free() it. */
char *index_definition_template(const struct index_definition *definition, const char *index)
    __attribute__((returns_nonnull, warn_unused_result));

#endif
