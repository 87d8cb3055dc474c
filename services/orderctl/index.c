/* orderctl reindex and verify: jobs about the search index, which are watched to their end. */
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/job.h"
#include "services/orderctl/output.h"
#include "services/orderctl/request.h"
#include <stdlib.h>

struct index_job {
    struct session *session;
    bool keep_old, full, fields, repair, delete_extra, no_wait;
};

enum { KEY_KEEP_OLD = 0x300, KEY_FULL, KEY_FIELDS, KEY_REPAIR, KEY_DELETE_EXTRA, KEY_NO_WAIT };

static const struct argp_option reindex_options[] = {
    {"keep-old", KEY_KEEP_OLD, NULL, 0, "Do not delete the index that was in use before", 0},
    {"no-wait", KEY_NO_WAIT, NULL, 0, "Do not watch the job", 0},
    {0},
};
static const struct argp_option verify_options[] = {
    {"full", KEY_FULL, NULL, 0, "All orders, not only those of the last 7 days", 0},
    {"fields", KEY_FIELDS, NULL, 0, "Every field of each order, not only counts and sums", 0},
    {"repair", KEY_REPAIR, NULL, 0, "Index what is missing or different", 0},
    {"delete-extra", KEY_DELETE_EXTRA, NULL, 0,
     "With --repair: delete the documents that have no order", 0},
    {"no-wait", KEY_NO_WAIT, NULL, 0, "Do not watch the job", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct index_job *job = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = job->session;
        return 0;
    case KEY_KEEP_OLD:
        job->keep_old = true;
        return 0;
    case KEY_FULL:
        job->full = true;
        return 0;
    case KEY_FIELDS:
        job->fields = true;
        return 0;
    case KEY_REPAIR:
        job->repair = true;
        return 0;
    case KEY_DELETE_EXTRA:
        job->delete_extra = true;
        return 0;
    case KEY_NO_WAIT:
        job->no_wait = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is too much", arg);
        return 0;
    case ARGP_KEY_END:
        if (job->delete_extra && !job->repair)
            argp_error(state, "--delete-extra is for a repair: add --repair");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp reindex_argp = {
    reindex_options,
    parse,
    "",
    "Makes a new search index with the mapping of today, and swaps it in when it has every order. "
    "Ends with 0 when it is in use, with 1 when the old one stays in use or Elasticsearch refuses "
    "an order. Ctrl-C ends the watching, not the job.",
    session_children,
    NULL,
    NULL};
static const struct argp verify_argp = {
    verify_options,
    parse,
    "",
    "Compares PostgreSQL and the search index: what is missing, extra or different, with its ids. "
    "Ends with 0 when they agree at the end, with 1 when differences remain. Ctrl-C ends the "
    "watching, not the job.",
    session_children,
    NULL,
    NULL};

/* `parameters` becomes the request's. */
static int begin(const struct index_job *job, const char *kind, json_t *parameters)
{
    struct answer answer;
    json_t *json = json_pack("{s:s, s:o}", "kind", kind, "parameters", parameters);
    char *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (body == NULL)
        abort();
    int code = request_json(job->session, "POST", "/api/admin/jobs", body, &answer);
    free(body);
    if (code != EXIT_GOOD)
        return code;
    long long id = field_number(answer.json, "id", 0);
    if (job->no_wait && job->session->json)
        output_json(stdout, answer.json, JSON_COMPACT);
    else if (job->no_wait)
        printf("Job %lld (%s) has begun. Watch it: orderctl jobs watch %lld\n", id, kind, id);
    answer_release(&answer);
    return job->no_wait ? EXIT_GOOD : job_watch(job->session, id);
}

int reindex_command(struct session *session, int argc, char **argv)
{
    struct index_job job = {.session = session};
    session_parse(&reindex_argp, argc, argv, &job);
    return begin(&job, "reindex", json_pack("{s:b}", "keep_old", (int)job.keep_old));
}

int verify_command(struct session *session, int argc, char **argv)
{
    struct index_job job = {.session = session};
    session_parse(&verify_argp, argc, argv, &job);
    json_t *parameters = json_pack("{s:b, s:b}", "full", (int)job.full, "fields", (int)job.fields);
    if (job.repair)
        (void)json_object_set_new(parameters, "delete_extra", json_boolean(job.delete_extra));
    return begin(&job, job.repair ? "repair" : "verify", parameters);
}
