/* An answer is {"orders-000001": {"aliases": {…}, "mappings": {"_meta": {…}}, "settings": {…}}, …}.
 */
#include "services/scheduler/index/index_listing.h"
#include "services/base/memory.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void index_listing_path(const char *index, char path[INDEX_LISTING_PATH_SIZE])
{
    /* It fits. A name without an index is no error here, nor is an index that is closed. */
    (void)snprintf(path, INDEX_LISTING_PATH_SIZE,
                   "/%s,%s-*?expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true"
                   "&filter_path=error,*.aliases,*.mappings._meta,*.settings.index.uuid",
                   index, index);
}

static void read_index(const char *index, const char *name, const json_t *about,
                       struct listed_index *ret)
{
    const json_t *aliases = json_object_get(about, "aliases");
    const json_t *meta = json_object_get(json_object_get(about, "mappings"), "_meta");
    const char *deployment = json_string_value(json_object_get(meta, "deployment"));
    char built[INDEX_BUILT_ALIAS_SIZE];
    (void)snprintf(ret->name, sizeof ret->name, "%s", name); /* no server has longer ones */
    if (deployment != NULL)
        (void)snprintf(ret->deployment, sizeof ret->deployment, "%s", deployment);
    ret->numbered = index_names_number(index, name) > 0;
    ret->is_concrete = strcmp(name, index) == 0;
    const json_t *use = json_object_get(aliases, index);
    ret->in_use = ret->is_concrete || use != NULL;
    ret->is_written = ret->is_concrete || json_is_true(json_object_get(use, "is_write_index"));
    ret->built_by = json_integer_value(json_object_get(meta, "reindex"));
    (void)snprintf(built, sizeof built, INDEX_BUILT_ALIAS_FORMAT, index, ret->built_by);
    ret->is_open = ret->built_by != 0 && json_object_get(aliases, built) != NULL;
    (void)snprintf(built, sizeof built, INDEX_SWAPPED_ALIAS_FORMAT, index, ret->built_by);
    ret->is_swapped = ret->built_by != 0 && json_object_get(aliases, built) != NULL;
}

/* An alias of a single index needs no is_write_index. */
static void find_written(struct index_listing *listing, json_t *indices, const char *index)
{
    size_t in_use = 0, only = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (!listing->indices[i].in_use)
            continue;
        in_use++;
        only = i;
    }
    if (in_use != 1)
        return;
    struct listed_index *written = &listing->indices[only];
    const json_t *use =
        json_object_get(json_object_get(json_object_get(indices, written->name), "aliases"), index);
    written->is_written = !json_is_false(json_object_get(use, "is_write_index"));
}

int index_listing_read(const char *index, const char *body, size_t len_bytes,
                       struct index_listing *ret_listing, struct error *err)
{
    json_t *indices = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL), *about;
    const char *name;
    struct index_listing listing = {.count = 0};
    /* Without any index there is nothing that the filter lets through. */
    int rc = json_is_object(indices) ? 0 : -1;
    if (rc != 0)
        error_set(err, "the list of the indices %.100s-* is not JSON", index);
    else if (json_object_size(indices) > INDEX_LISTING_MAX) {
        error_set(err, "there are more than %d indices whose names begin with %.100s-",
                  INDEX_LISTING_MAX, index);
        rc = -1;
    }
    if (rc == 0)
        rc = index_names_next(index, body, len_bytes, &listing.next_number, err);
    if (rc == 0) {
        listing.indices = memory_new_array(json_object_size(indices) + 1, sizeof *listing.indices);
        json_object_foreach(indices, name, about)
            read_index(index, name, about, &listing.indices[listing.count++]);
        find_written(&listing, indices, index);
        *ret_listing = listing;
    }
    json_decref(indices);
    return rc;
}

void index_listing_release(struct index_listing *listing)
{
    free(listing->indices);
    *listing = (struct index_listing){.count = 0};
}

const struct listed_index *index_listing_find(const struct index_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->indices[i].name, name) == 0)
            return &listing->indices[i];
    return NULL;
}

const struct listed_index *index_listing_foreign(const struct index_listing *listing,
                                                 const char *deployment)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct listed_index *index = &listing->indices[i];
        if (index->in_use && index_is_foreign(index->deployment, deployment))
            return index;
    }
    return NULL;
}
