/* Reads and writes the JSON, by jansson. */
#include "services/scheduler/index/watch_answers.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

/* {"count": N, "_shards": {"failed": 0, …}} */
int64_t watch_answers_count(const char *body, size_t body_len)
{
    json_t *answer = json_loadb(body, body_len, 0, NULL);
    const json_t *count = json_object_get(answer, "count"),
                 *failed = json_object_get(json_object_get(answer, "_shards"), "failed");
    bool whole = json_is_integer(count) && json_integer_value(failed) == 0;
    int64_t documents = whole ? json_integer_value(count) : -1;
    json_decref(answer);
    return documents;
}

/* {"_all": {"primaries": {"docs": {"count": N, "deleted": N}}}} */
struct watch_statistics watch_answers_statistics(const char *body, size_t body_len)
{
    json_t *answer = json_loadb(body, body_len, 0, NULL);
    const json_t *primaries = json_object_get(json_object_get(answer, "_all"), "primaries");
    const json_t *docs = json_object_get(primaries, "docs");
    const struct watch_statistics statistics = {
        .documents = json_integer_value(json_object_get(docs, "count")),
        .deleted = json_integer_value(json_object_get(docs, "deleted")),
    };
    json_decref(answer);
    return statistics;
}

/* Elasticsearch replaces _meta as a whole. */
char *watch_answers_claim(const char *look, size_t look_len, const char *index,
                          const char *deployment)
{
    json_t *indices = json_loadb(look, look_len, JSON_ALLOW_NUL, NULL);
    const json_t *mappings = json_object_get(json_object_get(indices, index), "mappings");
    json_t *meta = json_copy(json_object_get(mappings, "_meta"));
    if (meta == NULL)
        meta = json_object();
    json_object_set_new(meta, "deployment", json_string(deployment));
    json_t *claim = json_pack("{s:o}", "_meta", meta);
    char *text = json_dumps(claim, JSON_COMPACT);
    json_decref(claim);
    json_decref(indices);
    if (text == NULL)
        abort(); /* out of memory */
    return text;
}
