/* The members in the order in which people read them. */
#include "services/gateway/job_json.h"
#include "services/gateway/json_members.h"

/* JSON as the row has it; NULL for none. */
static json_t *parsed(const char *text)
{
    return text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

json_t *job_json(const struct job_record *job)
{
    json_t *json = json_object();
    json_add_number(json, "id", job->id);
    json_add_text(json, "kind", job->kind);
    json_add_text(json, "state", job->state);
    json_add(json, "parameters", parsed(job->parameters));
    json_add(json, "requested_at", json_time(job->requested_at_us));
    json_add_text(json, "requested_by", job->requested_by);
    json_add(json, "automatic", json_boolean(job->automatic));
    json_add(json, "started_at", job->was_started ? json_time(job->started_at_us) : NULL);
    json_add(json, "finished_at", job->was_finished ? json_time(job->finished_at_us) : NULL);
    json_add_number(json, "done", job->done);
    json_add(json, "total", job->has_total ? json_integer(job->total) : NULL);
    json_add(json, "result", parsed(job->result));
    json_add_text(json, "error", job->error);
    json_add(json, "cancel_requested", json_boolean(job->cancel_requested));
    return json;
}
