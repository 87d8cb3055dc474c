/* An answer is {"orders-1": {"aliases": {…}, "mappings": {…}, "settings": {…}}, …}: the index of
 * that name, or each index that the alias of that name has. Orders go to the write index only. */
#include "services/indexer/index_look.h"
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define TYPES_MAX 6

/* With these types a field takes every order's value, and search finds a product's name. A field
 * that is not mapped takes everything, unless the mapping is strict. */
static const struct {
    const char *name;
    const char *types[TYPES_MAX];
} fields[] = {
    {"id", {"keyword", "text", "wildcard"}},
    {"product_name",
     {"text", "match_only_text", "search_as_you_type", "annotated_text", "keyword"}},
    {"amount", {"double", "float", "scaled_float", "keyword", "text"}},
    {"created_at", {"date", "date_nanos", "keyword", "text"}},
};

static const char *text_at(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : otherwise;
}

static bool is_one_of(const char *type, const char *const types[TYPES_MAX])
{
    for (size_t i = 0; i < TYPES_MAX && types[i]; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static int judge_mapping(const char *index, const json_t *mappings, struct error *err)
{
    const char *dynamic = text_at(mappings, "dynamic", "true");
    bool strict = strcmp(dynamic, "strict") == 0, learns = strcmp(dynamic, "true") == 0;
    const json_t *properties = json_object_get(mappings, "properties");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *name = fields[i].name;
        const json_t *field = json_object_get(properties, name);
        if (field != NULL) {
            const char *type = text_at(field, "type", "object");
            if (is_one_of(type, fields[i].types))
                continue;
            error_set(err, "the mapping of the index %.100s does not fit: %s is %.40s, not %s",
                      index, name, type, fields[i].types[0]);
            return -1;
        }
        if (strict || (!learns && strcmp(name, "product_name") == 0)) {
            error_set(err, "the mapping of the index %.100s does not fit: it lacks %s", index,
                      name);
            return -1;
        }
    }
    return 0;
}

/* An index of this name, or the one that the alias writes to; NULL when there is none. */
static const char *write_index(const char *name, json_t *indices)
{
    const char *index;
    json_t *about;
    json_object_foreach(indices, index, about)
    {
        const json_t *alias = json_object_get(json_object_get(about, "aliases"), name);
        const json_t *writes = json_object_get(alias, "is_write_index");
        if (strcmp(index, name) == 0 || json_is_true(writes) ||
            (json_object_size(indices) == 1 && !json_is_false(writes)))
            return index;
    }
    return NULL;
}

int index_look_judge(const char *name, const char *body, size_t len_bytes, struct error *err)
{
    int rc = -1;
    json_t *indices = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL);
    const char *index = write_index(name, indices);
    const json_t *about = index ? json_object_get(indices, index) : NULL;
    const json_t *settings = json_object_get(json_object_get(about, "settings"), "index");
    if (json_object_size(indices) == 0)
        error_set(err, "the answer to a look at %.100s names no index", name);
    else if (index == NULL)
        error_set(err, "the alias %.100s has no write index", name);
    else if (json_object_get(settings, "verified_before_close") != NULL)
        error_set(err, "the index %.100s is closed", index);
    else
        rc = judge_mapping(index, json_object_get(about, "mappings"), err);
    json_decref(indices);
    return rc;
}
