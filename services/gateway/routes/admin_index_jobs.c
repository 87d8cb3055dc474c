/* POST /api/admin/jobs: a job of the schedulers about the search index. One is under way at a time.
 */
#include "services/base/log.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include "services/gateway/job_json.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/routes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *name;
    const char *switches[4]; /* its parameters; NULL after the last */
} kinds[] = {
    {"reindex", {"keep_old"}},
    {"verify", {"full", "fields"}},
    {"repair", {"full", "fields", "delete_extra"}},
};

struct index_job_ask {
    struct request_guard guard;
    struct index_job_request job;
    char *parameters;
    char by[OPERATOR_MAX_LEN + 1];
};

static job_records_begun_fn on_begun;

/* NULL when the request is at fault. */
static const struct kind *read_kind(struct request *request, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "kind"));
    for (size_t i = 0; name != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    reply_problem(request, PROBLEM_MALFORMED_REQUEST, "kind must be reindex, verify or repair");
    return NULL;
}

/* All parameters of the kind, also those that were left out. NULL when the request is at fault;
 * free() it. */
static char *read_parameters(struct request *request, const struct kind *kind, const json_t *body)
{
    const json_t *given = json_object_get(body, "parameters");
    const char *unknown;
    struct error detail;
    if (given != NULL && !json_is_object(given)) {
        reply_problem(request, PROBLEM_MALFORMED_REQUEST, "parameters must be an object");
        return NULL;
    }
    if (given != NULL && !admin_members_known(given, kind->switches, &unknown)) {
        error_set(&detail, "%s has no parameter \"%.50s\"", kind->name, unknown);
        reply_problem(request, PROBLEM_MALFORMED_REQUEST, detail.message);
        return NULL;
    }
    json_t *parameters = json_object();
    bool good = true, on = false;
    for (size_t i = 0; good && kind->switches[i] != NULL; i++) {
        good = admin_read_switch(request, given, kind->switches[i], &on);
        json_add(parameters, kind->switches[i], json_boolean(on));
    }
    char *text = good ? json_dumps(parameters, JSON_COMPACT) : NULL;
    json_decref(parameters);
    if (good && text == NULL)
        abort(); /* out of memory */
    return text;
}

static void begin(struct request *request, const struct kind *kind, char *parameters)
{
    struct index_job_ask *ask =
        request_guard_new(request, sizeof(*ask), ORDER_STORE_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    ask->parameters = parameters;
    snprintf(ask->by, sizeof(ask->by), "%s", request->operator_name);
    ask->job =
        (struct index_job_request){.kind = kind->name, .parameters = parameters, .by = ask->by};
    struct job_records *jobs = request->api->job_records;
    if (jobs->begin(jobs->self, &ask->job, on_begun, ask) != 0)
        on_begun(ask, ORDER_STORE_UNAVAILABLE, NULL, false);
}

static void refuse(struct request *request, const struct job_record *first)
{
    struct error detail;
    error_set(&detail, "job %" PRId64 " (%s) %s", first->id, first->kind,
              strcmp(first->state, "running") == 0 ? "runs" : "waits");
    json_t *more = json_object();
    json_add(more, "job", job_json(first));
    reply_problem_with(request, PROBLEM_JOB_UNFINISHED, detail.message, more);
}

static void on_begun(void *arg, enum order_store_status status, const struct job_record *job,
                     bool begun)
{
    struct index_job_ask *ask = arg;
    struct request *request = ask->guard.request;
    if (status == ORDER_STORE_UNKNOWN) {
        reply_problem(request, PROBLEM_OUTCOME_UNKNOWN,
                      "the list of jobs tells whether it is there");
    } else if (status != ORDER_STORE_OK) {
        reply_problem(request, order_store_problem(status), NULL);
    } else if (!begun) {
        refuse(request, job);
    } else {
        log_info("a job about the search index is asked for", log_text("operator", ask->by),
                 log_text("kind", job->kind), log_number("job", job->id),
                 log_text("parameters", ask->parameters));
        char location[64];
        snprintf(location, sizeof(location), "/api/admin/jobs/%" PRId64, job->id);
        reply_header(request, "location", location);
        reply_json(request, 202, job_json(job));
    }
    free(ask->parameters);
    request_guard_end(&ask->guard);
}

void begin_index_job(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {"kind", "parameters", NULL};
    (void)rest;
    json_t *body = admin_read_body(request, members);
    const struct kind *kind = body != NULL ? read_kind(request, body) : NULL;
    char *parameters = kind != NULL ? read_parameters(request, kind, body) : NULL;
    json_decref(body);
    if (parameters != NULL)
        begin(request, kind, parameters);
}
