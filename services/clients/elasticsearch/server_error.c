/* Reads the error of an answer of Elasticsearch. */
#include "services/clients/elasticsearch/server_error.h"
#include <stdio.h>
#include <string.h>

/* A longer body is not read: no server says so much about one failure, and reading takes time. */
#define BODY_MAX_BYTES 65536

/* A search that failed on its shards says why only in the causes. */
static const json_t *cause_of(const json_t *json)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *cause = json_array_get(json_object_get(json, "root_cause"), 0);
    bool of_shards = type != NULL && strcmp(type, "search_phase_execution_exception") == 0;
    return of_shards && json_is_object(cause) ? cause : json;
}

void server_error_read(const json_t *json, struct server_error *ret_error)
{
    json = cause_of(json);
    const char *type = json_string_value(json_object_get(json, "type"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    (void)snprintf(ret_error->type, sizeof ret_error->type, "%s", type ? type : ""); /* or cut */
    if (type || reason)
        error_set(&ret_error->words, "%s: %s", type ? type : "error",
                  reason ? reason : "no reason given");
    else
        error_set(&ret_error->words, "%s",
                  json_is_string(json) ? json_string_value(json) : "no reason given");
}

void server_error_parse(const char *body, size_t len_bytes, struct server_error *ret_error)
{
    json_t *answer =
        len_bytes <= BODY_MAX_BYTES ? json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL) : NULL;
    server_error_read(json_object_get(answer, "error"), ret_error);
    json_decref(answer);
}

bool server_error_is(const struct server_error *error, const char *type)
{
    return strcmp(error->type, type) == 0;
}

void server_error_name_privilege(struct server_error *error, long status, const char *privilege)
{
    if (status != 403 || !server_error_is(error, "security_exception"))
        return;
    struct error words = error->words;
    error_set(&error->words, "the privilege %s is missing: %s", privilege, words.message);
}
