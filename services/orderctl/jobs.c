/* orderctl jobs and orderctl refresh. */
#include "services/orderctl/arguments.h"
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/job.h"
#include "services/orderctl/output.h"
#include "services/orderctl/query.h"
#include "services/orderctl/request.h"
#include <stdlib.h>

#define PAGE 50
#define REFRESH_TIMEOUT_MS 120000 /* more than the gateway waits */

static command_fn list_command, show_command, watch_command, cancel_command;

static const struct command commands[] = {
    {"list", "the newest (also without a word)", list_command},
    {"show", "all about one", show_command},
    {"watch", "show the progress of one until it has finished", watch_command},
    {"cancel", "end one; what it has done stays", cancel_command},
};

int jobs_command(struct session *session, int argc, char **argv)
{
    return command_choose(
        session, argc, argv, commands, sizeof(commands) / sizeof(commands[0]),
        "Jobs: refreshes, mass replays and discards, and those about the search index.",
        list_command);
}

/* What takes no argument, or the id of a job. */
struct one {
    struct session *session;
    bool wanted; /* the id */
    long long id;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct one *one = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = one->session;
        return 0;
    case ARGP_KEY_ARG:
        if (!one->wanted || state->arg_num > 0)
            argp_error(state, "'%s' is too much", arg);
        one->id = argument_number(state, "ID", arg, 1, INT64_MAX);
        return 0;
    case ARGP_KEY_END:
        if (one->wanted && one->id == 0)
            argp_error(state, "which job? orderctl jobs tells the ids");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static long long parse_one(struct session *session, int argc, char **argv, const char *args,
                           const char *doc)
{
    struct one one = {.session = session, .wanted = args[0] != '\0'};
    const struct argp argp = {NULL, parse, args, doc, session_children, NULL, NULL};
    session_parse(&argp, argc, argv, &one);
    return one.id;
}

static int list_command(struct session *session, int argc, char **argv)
{
    struct answer answer;
    json_t *job;
    size_t i;
    (void)parse_one(session, argc, argv, "", "Lists the newest jobs.");
    struct query query = query_new("/api/admin/jobs");
    query_add_number(&query, "limit", PAGE);
    int code = request_json(session, "GET", query.text, NULL, &answer);
    free(query.text);
    if (code != EXIT_GOOD)
        return code;
    json_t *jobs = json_object_get(answer.json, "jobs");
    if (session->json) {
        output_json(stdout, answer.json, JSON_COMPACT);
    } else if (json_array_size(jobs) == 0) {
        printf("There are no jobs.\n");
    } else {
        job_print_heading();
        json_array_foreach(jobs, i, job) job_print_row(job);
    }
    answer_release(&answer);
    return code;
}

/* Send `method` for a job and show the job that is answered. */
static int about_one(struct session *session, const char *method, const char *action, long long id)
{
    struct answer answer;
    struct query query = query_new("/api/admin/jobs/%lld%s", id, action);
    int code = request_json(session, method, query.text, NULL, &answer);
    free(query.text);
    if (code != EXIT_GOOD)
        return code;
    if (session->json)
        output_json(stdout, answer.json, JSON_COMPACT);
    else
        job_print(answer.json);
    answer_release(&answer);
    return code;
}

static int show_command(struct session *session, int argc, char **argv)
{
    return about_one(session, "GET", "", parse_one(session, argc, argv, "ID", "Shows a job."));
}

static int watch_command(struct session *session, int argc, char **argv)
{
    return job_watch(session,
                     parse_one(session, argc, argv, "ID",
                               "Shows the progress of a job. Ctrl-C ends the watching, not "
                               "the job. Ends with 0 when the job is done, with 1 when it "
                               "has failed or was canceled."));
}

static int cancel_command(struct session *session, int argc, char **argv)
{
    return about_one(
        session, "POST", "/cancel",
        parse_one(session, argc, argv, "ID", "Ends a job. What it has done stays done."));
}

int refresh_command(struct session *session, int argc, char **argv)
{
    struct answer answer;
    struct error err;
    (void)parse_one(session, argc, argv, "",
                    "Refreshes the daily sales, and waits until they are there.");
    if (request_send(session, "POST", "/api/admin/refresh", NULL, REFRESH_TIMEOUT_MS, &answer,
                     &err) != 0) {
        request_complain_unreachable(session, &err);
        return EXIT_UNAVAILABLE;
    }
    int code = request_exit_code(answer.status);
    if (code != EXIT_GOOD)
        request_complain(session, &answer);
    else if (session->json)
        printf("{\"refreshed\":true}\n");
    else
        printf("The daily sales are refreshed.\n");
    answer_release(&answer);
    return code;
}
