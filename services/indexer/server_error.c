/* Reads the error of an answer of Elasticsearch. */
#include "services/indexer/server_error.h"

void server_error_describe(const json_t *json, struct error *err)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    if (type || reason)
        error_set(err, "%s: %s", type ? type : "error", reason ? reason : "no reason given");
    else
        error_set(err, "%s", json_is_string(json) ? json_string_value(json) : "no reason given");
}

void server_error_from_body(const char *body, size_t len_bytes, struct error *err)
{
    json_t *answer = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL);
    server_error_describe(json_object_get(answer, "error"), err);
    json_decref(answer);
}
