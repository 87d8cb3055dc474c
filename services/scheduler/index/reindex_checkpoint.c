/* The checkpoint is a JSON object. */
#include "services/scheduler/index/reindex_checkpoint.h"
#include "services/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the checkpoint, and for people. */
static const char *const phase_names[REINDEX_PHASES] = {
    [REINDEX_MAKE] = "making the index",
    [REINDEX_COPY] = "copying",
    [REINDEX_REFRESH] = "refreshing",
    [REINDEX_COMPARE] = "comparing",
    [REINDEX_CATCH_UP] = "catching up",
    [REINDEX_SWAP] = "swapping",
    [REINDEX_TAIL] = "tail",
    [REINDEX_CHECK] = "comparing again",
    [REINDEX_DELETE] = "deleting the old index",
    [REINDEX_END] = "ending",
    [REINDEX_CLEAN] = "cleaning up",
};

static char *text_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text == NULL ? NULL : memory_copy_text(text);
}

static void copy_text(char *to, size_t size, const json_t *value)
{
    const char *text = json_string_value(value);
    (void)snprintf(to, size, "%s", text == NULL ? "" : text); /* written from as much room */
}

void reindex_checkpoint_read(const char *text, struct reindex_checkpoint *ret)
{
    json_t *json = text == NULL ? NULL : json_loads(text, 0, NULL);
    const char *phase = json_string_value(json_object_get(json, "phase"));
    *ret = (struct reindex_checkpoint){.phase = REINDEX_MAKE, .total = -1};
    for (enum reindex_phase i = REINDEX_MAKE; phase != NULL && i < REINDEX_PHASES; i++)
        if (strcmp(phase, phase_names[i]) == 0)
            ret->phase = i;
    if (phase == NULL)
        goto done;
    copy_text(ret->name, sizeof ret->name, json_object_get(json, "index"));
    copy_text(ret->identity, sizeof ret->identity, json_object_get(json, "identity"));
    ret->done = json_integer_value(json_object_get(json, "done"));
    ret->total = json_integer_value(json_object_get(json, "total"));
    ret->copy = text_of(json_object_get(json, "copy"));
    ret->compare = text_of(json_object_get(json, "compare"));
    ret->copied = json_incref(json_object_get(json, "copied"));
    ret->old_kept = json_is_true(json_object_get(json, "old_kept"));
    ret->failure = text_of(json_object_get(json, "failure"));
    const json_t *old = json_object_get(json, "old");
    for (size_t i = 0; i < json_array_size(old) && i < REINDEX_OLD_MAX; i++) {
        const json_t *one = json_array_get(old, i);
        copy_text(ret->old[i].name, sizeof ret->old[i].name, json_object_get(one, "name"));
        ret->old[i].ours = json_is_true(json_object_get(one, "ours"));
        ret->old_count++;
    }
done:
    json_decref(json);
}

void reindex_checkpoint_release(struct reindex_checkpoint *checkpoint)
{
    free(checkpoint->copy);
    free(checkpoint->compare);
    free(checkpoint->failure);
    json_decref(checkpoint->copied);
    *checkpoint = (struct reindex_checkpoint){.phase = REINDEX_MAKE};
}

void reindex_checkpoint_set(char **text, const char *value)
{
    char *copy = value == NULL ? NULL : memory_copy_text(value);
    free(*text);
    *text = copy;
}

static char *write_json(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        abort(); /* no memory, or a text that is not UTF-8: none comes here */
    json_decref(json);
    return text;
}

char *reindex_checkpoint_write(const struct reindex_checkpoint *checkpoint)
{
    json_t *old = json_array();
    for (size_t i = 0; i < checkpoint->old_count; i++)
        json_array_append_new(old, json_pack("{s:s,s:b}", "name", checkpoint->old[i].name, "ours",
                                             (int)checkpoint->old[i].ours));
    return write_json(json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:s*,s:s*,s:O*,s:o,s:b,s:s*}", "phase",
        phase_names[checkpoint->phase], "index", checkpoint->name, "identity", checkpoint->identity,
        "done", (json_int_t)checkpoint->done, "total", (json_int_t)checkpoint->total, "copy",
        checkpoint->copy, "compare", checkpoint->compare, "copied", checkpoint->copied, "old", old,
        "old_kept", (int)checkpoint->old_kept, "failure", checkpoint->failure));
}

char *reindex_checkpoint_result(const struct reindex_checkpoint *checkpoint)
{
    json_t *result = checkpoint->copied == NULL ? json_object() : json_copy(checkpoint->copied);
    if (checkpoint->name[0] != '\0')
        json_object_set_new(result, "index", json_string(checkpoint->name));
    if (checkpoint->old_count > 0) {
        json_object_set_new(result, "old", json_string(checkpoint->old[0].name));
        json_object_set_new(result, "old_kept", json_boolean(checkpoint->old_kept));
    }
    json_object_set_new(result, "phase", json_string(phase_names[checkpoint->phase]));
    return write_json(result);
}
