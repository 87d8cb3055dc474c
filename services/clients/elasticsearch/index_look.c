/* An answer is {"orders-1": {"aliases": {…}, "mappings": {…}, "settings": {…}}, …}: the index of
 * that name, or each index that the alias of that name has. Orders go to the write index only. */
#include "services/clients/elasticsearch/index_look.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

int index_look_judge_mapping(const json_t *mappings, struct error *err)
{
    const json_t *flag = json_object_get(mappings, "dynamic");
    const char *dynamic = text_at(mappings, "dynamic", json_is_false(flag) ? "false" : "true");
    bool strict = strcmp(dynamic, "strict") == 0, learns = strcmp(dynamic, "true") == 0;
    const json_t *properties = json_object_get(mappings, "properties");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *name = fields[i].name;
        const json_t *field = json_object_get(properties, name);
        if (field != NULL) {
            const char *type = text_at(field, "type", "object");
            if (is_one_of(type, fields[i].types))
                continue;
            error_set(err, "%s is %.40s, not %s", name, type, fields[i].types[0]);
            return -1;
        }
        if (strict || (!learns && strcmp(name, "product_name") == 0)) {
            error_set(err, "it lacks %s", name);
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

static void copy(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text); /* no server has longer ones */
}

static void read_identity(const json_t *settings, struct index_look *look)
{
    const char *uuid = text_at(settings, "uuid", "");
    const char *history = text_at(json_object_get(settings, "history"), "uuid", NULL);
    copy(look->identity, sizeof look->identity, uuid);
    if (history != NULL)
        (void)snprintf(look->identity, sizeof look->identity, "%s/%s", uuid, history);
}

/* The type of a field whose values can be counted and summed, else "". */
static const char *type_of(const json_t *mappings, const char *name)
{
    const json_t *field = json_object_get(json_object_get(mappings, "properties"), name);
    return json_is_false(json_object_get(field, "doc_values")) ? "" : text_at(field, "type", "");
}

bool index_look_created_at_is_date(const json_t *mappings)
{
    const char *type = type_of(mappings, "created_at");
    return strcmp(type, "date") == 0 || strcmp(type, "date_nanos") == 0;
}

static void read_mapping(const json_t *mappings, struct index_look *look)
{
    const json_t *meta = json_object_get(mappings, "_meta");
    const char *amount = type_of(mappings, "amount");
    copy(look->deployment, sizeof look->deployment, text_at(meta, "deployment", ""));
    look->reindex_job = json_integer_value(json_object_get(meta, "reindex"));
    look->amount_is_float = strcmp(amount, "float") == 0;
    look->amount_is_number = look->amount_is_float || strcmp(amount, "double") == 0 ||
                             strcmp(amount, "scaled_float") == 0;
    look->created_at_is_date = index_look_created_at_is_date(mappings);
}

int index_look_read(const char *name, const char *body, size_t len_bytes,
                    struct index_look *ret_look, struct error *err)
{
    int rc = -1;
    struct error why;
    json_t *indices = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL);
    const char *index = write_index(name, indices);
    const json_t *about = index ? json_object_get(indices, index) : NULL;
    const json_t *settings = json_object_get(json_object_get(about, "settings"), "index");
    const json_t *mappings = json_object_get(about, "mappings");
    *ret_look = (struct index_look){.indices = json_object_size(indices)};
    if (ret_look->indices > 0)
        ret_look->form = json_object_get(indices, name) ? INDEX_CONCRETE : INDEX_ALIAS;
    if (index != NULL) {
        copy(ret_look->name, sizeof ret_look->name, index);
        read_identity(settings, ret_look);
        read_mapping(mappings, ret_look);
    }
    if (ret_look->indices == 0)
        error_set(err, "the answer to a look at %.100s names no index", name);
    else if (index == NULL)
        error_set(err, "the alias %.100s has no write index", name);
    else if (json_object_get(settings, "verified_before_close") != NULL)
        error_set(err, "the index %.100s is closed", index);
    else if (index_look_judge_mapping(mappings, &why) != 0)
        error_set(err, "the mapping of the index %.100s does not fit: %s", index, why.message);
    else
        rc = 0;
    json_decref(indices);
    return rc;
}

bool index_look_is_absent(long status, const char *error_type)
{
    return status == 404 && strcmp(error_type, "index_not_found_exception") == 0;
}

bool index_is_foreign(const char *of_index, const char *deployment)
{
    return of_index[0] != '\0' && strcasecmp(of_index, deployment) != 0;
}
