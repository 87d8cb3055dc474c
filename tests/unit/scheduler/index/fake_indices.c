/* The indices are a JSON object, as GET shows them. */
#include "tests/unit/scheduler/index/fake_indices.h"
#include "tests/unit/support/http_peer.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_indices {
    struct http_peer *peer;
    pthread_mutex_t lock;
    json_t *indices;
    unsigned uuids, requests;
    unsigned lose; /* the request with this number */
    enum fake_loss loss;
    atomic_bool lost;
    char lost_request[4096];
    const char *refused, *type;
    int status;
    bool had_orders, had_gap;
    char text[2000], meta[300], changes[4000];
};

static int refuse(char *body, size_t size, int status, const char *type)
{
    snprintf(body, size, "{\"error\":{\"type\":\"%s\",\"reason\":\"because\"}}", type);
    return status;
}

/* How many indices have the name, as their own or as an alias. */
static size_t count_of(json_t *indices, const char *name)
{
    const char *index;
    json_t *about;
    size_t count = 0;
    json_object_foreach(indices, index, about) count +=
        strcmp(index, name) == 0 ||
        json_object_get(json_object_get(about, "aliases"), name) != NULL;
    return count;
}

static bool begins_so(const char *name)
{
    return strcmp(name, "orders") == 0 || strncmp(name, "orders-", 7) == 0;
}

static bool is_listed(const char *index, json_t *about)
{
    const char *alias;
    json_t *properties;
    bool listed = begins_so(index);
    json_object_foreach(json_object_get(about, "aliases"), alias, properties)
    {
        listed |= begins_so(alias);
    }
    return listed;
}

static int get(struct fake_indices *fake, char *name, char *body, size_t size)
{
    json_t *found = json_object(), *about;
    const char *index;
    bool all = strchr(name, '*') != NULL; /* the list: ORDERS,ORDERS-* */
    json_object_foreach(fake->indices, index, about)
    {
        bool is_named = strcmp(index, name) == 0 ||
                        json_object_get(json_object_get(about, "aliases"), name) != NULL;
        if (all ? is_listed(index, about) : is_named)
            json_object_set(found, index, about);
    }
    int status = 200;
    if (json_object_size(found) == 0 && !all) {
        status = refuse(body, size, 404, "index_not_found_exception");
    } else {
        char *text = json_dumps(found, JSON_COMPACT);
        snprintf(body, size, "%s", text);
        free(text);
    }
    json_decref(found);
    return status;
}

static void add(struct fake_indices *fake, const char *name, const json_t *definition)
{
    char uuid[20];
    snprintf(uuid, sizeof uuid, "uuid%u", ++fake->uuids);
    json_t *about = json_pack(
        "{s:O?,s:O?,s:{s:{s:s}}}", "aliases", json_object_get(definition, "aliases"), "mappings",
        json_object_get(definition, "mappings"), "settings", "index", "uuid", uuid);
    if (!json_is_object(json_object_get(about, "aliases")))
        json_object_set_new(about, "aliases", json_object());
    json_object_set_new(fake->indices, name, about);
}

static int put(struct fake_indices *fake, char *name, const json_t *given, char *body, size_t size)
{
    char *rest = strchr(name, '/');
    if (rest != NULL)
        *rest++ = '\0';
    json_t *about = json_object_get(fake->indices, name);
    if (rest != NULL && about == NULL)
        return refuse(body, size, 404, "index_not_found_exception");
    if (rest != NULL && strcmp(rest, "_mapping") == 0)
        json_object_set(json_object_get(about, "mappings"), "_meta",
                        json_object_get(given, "_meta"));
    if (rest == NULL && count_of(fake->indices, name) > 0)
        return refuse(body, size, 400, "resource_already_exists_exception");
    if (rest == NULL)
        add(fake, name, given);
    return 200;
}

/* Returns 0, or the status of the refusal; counts in *actions what it does. An alias that is not
 * there is no reason to refuse, unless it must exist. */
static int act(json_t *indices, const char *action, const json_t *given, unsigned *actions,
               char *body, size_t size)
{
    const char *name = json_string_value(json_object_get(given, "index"));
    const char *alias = json_string_value(json_object_get(given, "alias"));
    json_t *about = json_object_get(indices, name);
    json_t *aliases = json_object_get(about, "aliases");
    if (about == NULL)
        return refuse(body, size, 404, "index_not_found_exception");
    if (strcmp(action, "remove_index") == 0) {
        json_object_del(indices, name);
    } else if (strcmp(action, "remove") == 0) {
        bool existed = json_object_del(aliases, alias) == 0;
        if (!existed && json_is_true(json_object_get(given, "must_exist")))
            return refuse(body, size, 404, "aliases_not_found_exception");
        *actions -= !existed;
    } else {
        json_object_set_new(
            aliases, alias,
            json_pack("{s:O?}", "is_write_index", json_object_get(given, "is_write_index")));
        if (json_object_get(indices, alias) != NULL)
            return refuse(body, size, 400, "invalid_alias_name_exception");
    }
    ++*actions;
    return 0;
}

static int aliases(struct fake_indices *fake, const json_t *given, char *body, size_t size)
{
    json_t *copy = json_deep_copy(fake->indices), *action, *value;
    const char *name;
    size_t i;
    int status = 0;
    unsigned actions = 0;
    json_array_foreach(json_object_get(given, "actions"), i, action)
        json_object_foreach(action, name, value) if (status == 0) status =
            act(copy, name, value, &actions, body, size);
    if (status == 0 && actions == 0)
        status = refuse(body, size, 404, "aliases_not_found_exception");
    if (status == 0) {
        json_decref(fake->indices);
        fake->indices = json_incref(copy);
    }
    json_decref(copy);
    return status == 0 ? 200 : status;
}

static void note_change(struct fake_indices *fake, const char *method, const char *path)
{
    size_t len = strlen(fake->changes);
    snprintf(fake->changes + len, sizeof fake->changes - len, "%s%s %s", len > 0 ? ", " : "",
             method, path);
}

static int execute(struct fake_indices *fake, const char *request, char *body, size_t size)
{
    char method[10], path[600];
    if (sscanf(request, "%9s %599[^ ?]", method, path) != 2)
        return 400;
    snprintf(body, size, "{\"acknowledged\":true}");
    if (strcmp(method, "GET") == 0)
        return get(fake, path + 1, body, size);
    note_change(fake, method, path);
    if (fake->refused != NULL && strncmp(request, fake->refused, strlen(fake->refused)) == 0)
        return refuse(body, size, fake->status, fake->type);
    json_t *given = json_loads(strstr(request, "\r\n\r\n"), 0, NULL);
    int status = 200;
    if (strcmp(method, "PUT") == 0)
        status = put(fake, path + 1, given, body, size);
    else if (strcmp(method, "DELETE") == 0)
        status = json_object_del(fake->indices, path + 1) == 0
                     ? 200
                     : refuse(body, size, 404, "index_not_found_exception");
    else if (strcmp(path, "/_aliases") == 0)
        status = aliases(fake, given, body, size);
    else if (strstr(path, "/_refresh") != NULL && fake->indices != NULL) {
        *strstr(path, "/_refresh") = '\0';
        if (count_of(fake->indices, path + 1) == 0)
            status = refuse(body, size, 404, "index_not_found_exception");
    }
    json_decref(given);
    size_t orders = count_of(fake->indices, "orders");
    fake->had_gap |= fake->had_orders && orders == 0;
    fake->had_orders |= orders > 0;
    return status;
}

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct fake_indices *fake = arg;
    pthread_mutex_lock(&fake->lock);
    bool lose = ++fake->requests == fake->lose;
    int status = 0;
    if (!lose || fake->loss == FAKE_EXECUTED)
        status = execute(fake, request, body, size);
    if (lose) {
        snprintf(fake->lost_request, sizeof fake->lost_request, "%s", request);
        atomic_store(&fake->lost, true);
        status = 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return status;
}

/* ---- for the test ---- */

struct fake_indices *fake_indices_new(void)
{
    struct fake_indices *fake = calloc(1, sizeof *fake);
    pthread_mutex_init(&fake->lock, NULL);
    fake->indices = json_object();
    fake->peer = http_peer_new_answering(serve, fake);
    return fake;
}

void fake_indices_free(struct fake_indices *fake)
{
    http_peer_free(fake->peer);
    json_decref(fake->indices);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

uint16_t fake_indices_port(const struct fake_indices *fake)
{
    return http_peer_port(fake->peer);
}

void fake_indices_add(struct fake_indices *fake, const char *name, const char *alias,
                      const char *deployment)
{
    pthread_mutex_lock(&fake->lock);
    json_t *meta = json_pack("{s:s*}", "deployment", deployment), *has = json_object();
    if (alias != NULL)
        json_object_set_new(has, alias, json_pack("{s:b}", "is_write_index", 1));
    json_t *definition = json_pack("{s:o,s:{s:o,s:{s:{s:s}}}}", "aliases", has, "mappings", "_meta",
                                   meta, "properties", "product_name", "type", "text");
    add(fake, name, definition);
    json_decref(definition);
    pthread_mutex_unlock(&fake->lock);
}

void fake_indices_alias(struct fake_indices *fake, const char *name, const char *alias)
{
    pthread_mutex_lock(&fake->lock);
    json_t *about = json_object_get(fake->indices, name);
    json_object_set_new(json_object_get(about, "aliases"), alias, json_object());
    pthread_mutex_unlock(&fake->lock);
}

void fake_indices_move(struct fake_indices *fake, const char *alias, const char *from,
                       const char *to)
{
    pthread_mutex_lock(&fake->lock);
    json_t *old = json_object_get(json_object_get(fake->indices, from), "aliases");
    json_t *new = json_object_get(json_object_get(fake->indices, to), "aliases");
    json_object_set(new, alias, json_object_get(old, alias));
    json_object_del(old, alias);
    pthread_mutex_unlock(&fake->lock);
}

void fake_indices_mark(struct fake_indices *fake, const char *name, int64_t job)
{
    pthread_mutex_lock(&fake->lock);
    json_t *mappings = json_object_get(json_object_get(fake->indices, name), "mappings");
    json_object_set_new(json_object_get(mappings, "_meta"), "reindex", json_integer(job));
    pthread_mutex_unlock(&fake->lock);
}

void fake_indices_remove(struct fake_indices *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    json_object_del(fake->indices, name);
    pthread_mutex_unlock(&fake->lock);
}

const char *fake_indices_text(struct fake_indices *fake)
{
    char *end = fake->text, *limit = fake->text + sizeof fake->text;
    const char *name, *alias;
    json_t *about, *properties;
    pthread_mutex_lock(&fake->lock);
    *end = '\0';
    json_t *indices = json_loads("{}", 0, NULL);
    char *sorted = json_dumps(fake->indices, JSON_SORT_KEYS);
    json_decref(indices);
    indices = json_loads(sorted, 0, NULL);
    free(sorted);
    json_object_foreach(indices, name, about)
    {
        end += snprintf(end, (size_t)(limit - end), "%s%s[", end > fake->text ? " " : "", name);
        json_object_foreach(json_object_get(about, "aliases"), alias, properties) end +=
            snprintf(end, (size_t)(limit - end), "%s%s%s", end[-1] == '[' ? "" : " ", alias,
                     json_is_true(json_object_get(properties, "is_write_index")) ? "*" : "");
        end += snprintf(end, (size_t)(limit - end), "]");
    }
    json_decref(indices);
    pthread_mutex_unlock(&fake->lock);
    return fake->text;
}

const char *fake_indices_meta(struct fake_indices *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    const json_t *mappings = json_object_get(json_object_get(fake->indices, name), "mappings");
    char *text = json_dumps(json_object_get(mappings, "_meta"), JSON_COMPACT | JSON_SORT_KEYS);
    snprintf(fake->meta, sizeof fake->meta, "%s", text == NULL ? "none" : text);
    free(text);
    pthread_mutex_unlock(&fake->lock);
    return fake->meta;
}

const char *fake_indices_changes(struct fake_indices *fake)
{
    return fake->changes;
}

void fake_indices_lose(struct fake_indices *fake, unsigned number, enum fake_loss loss)
{
    pthread_mutex_lock(&fake->lock);
    fake->lose = number == 0 ? 0 : fake->requests + number;
    fake->loss = loss;
    atomic_store(&fake->lost, false);
    pthread_mutex_unlock(&fake->lock);
}

bool fake_indices_lost(const struct fake_indices *fake)
{
    return atomic_load(&fake->lost);
}

int fake_indices_execute_lost(struct fake_indices *fake)
{
    char body[4096];
    pthread_mutex_lock(&fake->lock);
    int status = execute(fake, fake->lost_request, body, sizeof body);
    pthread_mutex_unlock(&fake->lock);
    return status;
}

const char *fake_indices_lost_request(const struct fake_indices *fake)
{
    return fake->lost_request;
}

void fake_indices_refuse(struct fake_indices *fake, const char *prefix, int status,
                         const char *type)
{
    pthread_mutex_lock(&fake->lock);
    fake->refused = prefix;
    fake->status = status;
    fake->type = type;
    pthread_mutex_unlock(&fake->lock);
}

bool fake_indices_had_gap(struct fake_indices *fake)
{
    pthread_mutex_lock(&fake->lock);
    bool had_gap = fake->had_gap;
    pthread_mutex_unlock(&fake->lock);
    return had_gap;
}
