/* Lays the file over the defaults. A setting may be written nested or with dots, with "index." or
 * without it; each is kept by its full name with dots, so that a setting is there once. */
#include "services/clients/elasticsearch/index_definition.h"
#include "services/base/memory.h"
#include "services/base/regular_file.h"
#include "services/clients/elasticsearch/index_look.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTING_NAME_SIZE 256
#define REFRESH "index.refresh_interval"
#define REPLICAS "index.number_of_replicas"
#define EXPAND "index.auto_expand_replicas"

/* No type or setting that only some servers have. A field that is not listed is kept in _source and
 * not indexed. `id` is `_id` once more, for a client that pages through the index: `_id` cannot be
 * sorted by. Its doc values are enough for that; inverted, it would cost Elasticsearch 3 of 20 us
 * of CPU a document more. refresh_interval is not set: so an index that nobody has searched for
 * 30 s (index.search.idle.after) is refreshed no more, and the first search waits for a refresh. */
static const char defaults[] = "{\"settings\":{\"" EXPAND "\":\"0-1\"},"
                               "\"mappings\":{\"dynamic\":false,\"properties\":{"
                               "\"id\":{\"type\":\"keyword\",\"index\":false},"
                               "\"product_name\":{\"type\":\"text\"},"
                               "\"amount\":{\"type\":\"double\"},"
                               "\"created_at\":{\"type\":\"date\"}}}}";

/* Search answers with _source, _bulk gives no routing, and _meta says whose index it is. */
static const char *const kept_members[] = {"_source", "_routing", "_meta"};

struct index_definition {
    json_t *settings; /* {"index.auto_expand_replicas": "0-1", …} */
    json_t *mappings;
};

static json_t *read_file(const char *path, struct error *err)
{
    FILE *file = regular_file_open(path, err);
    if (file == NULL)
        return NULL;
    char *text = memory_take(INDEX_SETTINGS_FILE_MAX_BYTES + 1);
    size_t len = fread(text, 1, INDEX_SETTINGS_FILE_MAX_BYTES + 1, file);
    int failed = ferror(file);
    (void)fclose(file);
    json_t *json = NULL;
    json_error_t where;
    if (failed)
        error_set(err, "cannot read the file");
    else if (len > INDEX_SETTINGS_FILE_MAX_BYTES)
        error_set(err, "the file is longer than %d bytes", INDEX_SETTINGS_FILE_MAX_BYTES);
    else if ((json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where)) == NULL)
        error_set(err, "line %d of the file is not JSON: %s", where.line, where.text);
    free(text);
    return json;
}

/* The file, and its "settings" and "mappings", are objects, and there is nothing else. */
static int judge_file(const json_t *file, struct error *err)
{
    if (!json_is_object(file)) {
        error_set(err, "the file is not a JSON object");
        return -1;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)file, name, value)
    {
        if (strcmp(name, "settings") != 0 && strcmp(name, "mappings") != 0)
            error_set(err, "the file may have settings and mappings, not %.100s", name);
        else if (!json_is_object(value))
            error_set(err, "%s in the file is not an object", name);
        else
            continue;
        return -1;
    }
    const json_t *mappings = json_object_get(file, "mappings");
    for (size_t i = 0; i < sizeof kept_members / sizeof kept_members[0]; i++) {
        if (json_object_get(mappings, kept_members[i]) != NULL) {
            error_set(err, "%s in the mapping of the file cannot be set", kept_members[i]);
            return -1;
        }
    }
    return 0;
}

/* Write each setting below `prefix` to `flat` by its full name. */
static int flatten(json_t *settings, const char *prefix, json_t *flat, struct error *err)
{
    static const char index[] = "index.";
    const char *name;
    json_t *value;
    json_object_foreach(settings, name, value)
    {
        char full[SETTING_NAME_SIZE];
        const char *begin = strncmp(prefix, index, sizeof index - 1) != 0 &&
                                    strncmp(name, index, sizeof index - 1) != 0 &&
                                    !(prefix[0] == '\0' && strcmp(name, "index") == 0)
                                ? index
                                : "";
        int len = snprintf(full, sizeof full, "%s%s%s%s", begin, prefix, name,
                           json_is_object(value) ? "." : "");
        if (len >= (int)sizeof full) {
            error_set(err, "the name of a setting in the file is longer than %d bytes",
                      SETTING_NAME_SIZE - 1);
            return -1;
        }
        if (json_is_object(value) && flatten(value, full, flat, err) != 0)
            return -1;
        if (!json_is_object(value))
            json_object_set(flat, full, value);
    }
    return 0;
}

/* Object by object; null removes. */
static void lay_over(json_t *below, json_t *above)
{
    const char *name;
    json_t *value;
    json_object_foreach(above, name, value)
    {
        json_t *there = json_object_get(below, name);
        if (json_is_object(there) && json_is_object(value))
            lay_over(there, value);
        else if (json_is_null(value))
            json_object_del(below, name);
        else
            json_object_set(below, name, value);
    }
}

static int lay_file_over(struct index_definition *definition, const char *path, struct error *err)
{
    int rc = -1;
    struct error why;
    json_t *given = json_object(), *file = read_file(path, err);
    if (file == NULL || judge_file(file, err) != 0 ||
        flatten(json_object_get(file, "settings"), "", given, err) != 0)
        goto done;
    /* The server ignores a number of replicas beside auto_expand_replicas. */
    if (json_object_get(given, REPLICAS) != NULL)
        json_object_del(definition->settings, EXPAND);
    lay_over(definition->settings, given);
    lay_over(definition->mappings, json_object_get(file, "mappings"));
    rc = index_look_judge_mapping(definition->mappings, &why);
    if (rc == 0 && !index_look_created_at_is_date(definition->mappings)) {
        error_set(&why,
                  "created_at is no date, or has no doc_values, by which a verification counts");
        rc = -1;
    }
    if (rc != 0)
        error_set(err, "the mapping does not fit: %s", why.message);
done:
    json_decref(file);
    json_decref(given);
    return rc;
}

struct index_definition *index_definition_new(const char *settings_file, struct error *err)
{
    struct index_definition *definition = memory_new(sizeof *definition);
    json_t *json = json_loads(defaults, 0, NULL);
    definition->settings = json_incref(json_object_get(json, "settings"));
    definition->mappings = json_incref(json_object_get(json, "mappings"));
    json_decref(json);
    if (settings_file == NULL || lay_file_over(definition, settings_file, err) == 0)
        return definition;
    index_definition_free(definition);
    return NULL;
}

void index_definition_free(struct index_definition *definition)
{
    if (definition == NULL)
        return;
    json_decref(definition->settings);
    json_decref(definition->mappings);
    free(definition);
}

int index_definition_file_validate(const char *path, struct error *err)
{
    struct index_definition *definition = index_definition_new(path, err);
    index_definition_free(definition);
    return definition != NULL ? 0 : -1;
}

static char *write_json(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (text == NULL)
        abort(); /* no memory */
    json_decref(json);
    return text;
}

char *index_definition_body(const struct index_definition *definition,
                            const struct index_purpose *purpose)
{
    json_t *settings = json_copy(definition->settings);
    json_t *mappings = json_copy(definition->mappings);
    json_t *meta = json_object(), *aliases = json_object();
    if (purpose->alias != NULL)
        json_object_set_new(aliases, purpose->alias, json_pack("{s:b}", "is_write_index", 1));
    if (purpose->deployment != NULL)
        json_object_set_new(meta, "deployment", json_string(purpose->deployment));
    if (purpose->reindex_job != 0) {
        json_object_set_new(meta, "reindex", json_integer(purpose->reindex_job));
        json_object_set_new(settings, REFRESH, json_string("-1"));
    }
    if (json_object_size(meta) > 0)
        json_object_set(mappings, "_meta", meta);
    json_decref(meta);
    return write_json(
        json_pack("{s:o,s:o,s:o}", "settings", settings, "mappings", mappings, "aliases", aliases));
}

char *index_definition_refresh(const struct index_definition *definition)
{
    /* Without a value, null resets the setting. */
    return write_json(json_pack("{s:O?}", REFRESH, json_object_get(definition->settings, REFRESH)));
}

char *index_definition_template(const struct index_definition *definition, const char *index)
{
    return write_json(json_pack("{s:[s],s:i,s:{s:O,s:O}}", "index_patterns", index, "priority", 500,
                                "template", "settings", definition->settings, "mappings",
                                definition->mappings));
}
