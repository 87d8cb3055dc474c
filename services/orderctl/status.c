/* orderctl status: one sentence, then what stands behind it. */
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/job.h"
#include "services/orderctl/output.h"
#include "services/orderctl/request.h"
#include <string.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct session **session = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = *session;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is too much; one order is looked up by: orderctl trace ID", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {NULL,
                                 parse,
                                 "",
                                 "Tells whether all is well, and if not, what is wrong and since "
                                 "when. Ends with 1 when something is wrong.",
                                 session_children,
                                 NULL,
                                 NULL};

static enum tone tone_of(const char *status)
{
    if (strcmp(status, "ready") == 0)
        return TONE_GOOD;
    return strcmp(status, "stopping") == 0 ? TONE_FAINT : TONE_BAD;
}

/* A reason is a text, or an object with texts. */
static void print_reason(const json_t *reason)
{
    const char *name, *before = "";
    json_t *part;
    if (json_is_string(reason)) {
        output_text(stdout, json_string_value(reason));
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)reason, name, part)
    {
        if (!json_is_string(part))
            continue;
        fputs(before, stdout);
        output_text(stdout, json_string_value(part));
        before = ": ";
    }
}

/* "stored_per_second": 12.5 as "stored 12.5/s" */
static void print_rates(const json_t *rates)
{
    static const char suffix[] = "_per_second";
    const char *name, *before = "  ";
    json_t *rate;
    json_object_foreach((json_t *)(uintptr_t)rates, name, rate)
    {
        size_t len = strlen(name), suffix_len = sizeof(suffix) - 1;
        if (len <= suffix_len || strcmp(name + len - suffix_len, suffix) != 0)
            continue;
        fputs(before, stdout);
        output_bytes(stdout, name, len - suffix_len);
        fputc(' ', stdout);
        field_print_number(rates, name);
        fputs("/s", stdout);
        before = ", ";
    }
}

static void print_service(const json_t *service)
{
    const char *name = field_text(service, "name"), *status = field_text(service, "status"),
               *replica = field_text(service, "replica"), *url = field_text(service, "url"),
               *since = field_text(service, "since");
    const json_t *rates = json_object_get(service, "rates");
    json_t *reason;
    size_t i;
    fputs("  ", stdout);
    output_column(stdout, name != NULL ? name : "?", 10);
    fputc(' ', stdout);
    output_column(stdout, replica != NULL ? replica : url != NULL ? url : "?", 28);
    fputc(' ', stdout);
    output_tone(stdout, tone_of(status != NULL ? status : "?"));
    output_column(stdout, status != NULL ? status : "?", 11);
    output_tone(stdout, TONE_PLAIN);
    fputc(' ', stdout);
    output_time(stdout, since);
    print_rates(rates);
    fputc('\n', stdout);
    json_array_foreach(json_object_get(service, "reasons"), i, reason)
    {
        fputs("             ", stdout);
        print_reason(reason);
        fputc('\n', stdout);
    }
}

static void label(const char *text)
{
    printf("  %-12s ", text);
}

static void print_queue(const json_t *status)
{
    const json_t *queue = json_object_get(status, "queue");
    const char *name = field_text(queue, "name");
    label("queue");
    if (json_object_size(queue) == 0) {
        fputs("unknown", stdout);
    } else {
        output_text(stdout, name != NULL ? name : "?");
        fputs(": ", stdout);
        field_print_number(queue, "messages");
        fputs(" orders wait, ", stdout);
        field_print_number(queue, "dead_messages");
        fputs(" dead letters in RabbitMQ", stdout);
    }
    fputc('\n', stdout);
    label("in flight");
    field_print_number(status, "in_flight");
    fputs(" orders at the bridges\n", stdout);
}

static void print_flow(const json_t *status)
{
    const json_t *rates = json_object_get(status, "rates"),
                 *outbox = json_object_get(status, "outbox");
    label("rates");
    field_print_number(rates, "accepted_per_second");
    fputs("/s accepted, ", stdout);
    field_print_number(rates, "stored_per_second");
    fputs("/s stored, ", stdout);
    field_print_number(rates, "searchable_per_second");
    fputs("/s searchable\n", stdout);
    label("stores");
    field_print_number(status, "rows_estimated");
    fputs(" rows (estimated), ", stdout);
    field_print_number(status, "documents");
    fputs(" documents\n", stdout);
    label("outbox");
    field_print_number(outbox, "orders");
    fputs(" orders", stdout);
    if (field_number(outbox, "orders", 0) > 0) {
        fputs(", the oldest waits for ", stdout);
        field_print_number(outbox, "oldest_seconds");
        fputs(" s", stdout);
    }
    fputc('\n', stdout);
}

static void print_dead(const json_t *status)
{
    const json_t *dead = json_object_get(status, "dead_letters"),
                 *archive = json_object_get(status, "archive");
    const char *state = field_text(archive, "state"), *fault = field_text(archive, "fault");
    long long count = field_number(dead, "dead", -1);
    label("dead letters");
    field_print_number(dead, "dead");
    if (count > 0) {
        fputs(": ", stdout);
        field_print_counts(json_object_get(dead, "by_reason"));
        fputs("; the oldest died ", stdout);
        output_time(stdout, field_text(dead, "oldest_died_at"));
        fputs("\n               see them: orderctl dead list", stdout);
    }
    fputc('\n', stdout);
    label("archive");
    output_text(stdout, state != NULL ? state : "unknown");
    if (fault != NULL) {
        fputs(", but letters stay in the queue: ", stdout);
        output_text(stdout, fault);
    }
    fputc('\n', stdout);
}

static bool is_long_and_runs(const json_t *job)
{
    const char *kind = field_text(job, "kind"), *state = field_text(job, "state");
    return kind != NULL && strcmp(kind, "refresh") != 0 && state != NULL &&
           strcmp(state, "running") == 0;
}

static void print_index(const json_t *status)
{
    const json_t *index = json_object_get(status, "index"),
                 *missing = json_object_get(index, "missing");
    const char *fault = field_text(index, "fault"), *at = field_text(index, "verified_at");
    if (index == NULL) /* an older gateway */
        return;
    label("index");
    if (json_is_null(index)) {
        fputs("unknown\n", stdout);
        return;
    }
    output_tone(stdout, fault != NULL || json_is_number(missing) ? TONE_BAD : TONE_PLAIN);
    if (json_is_number(missing))
        printf("search lacks %.2f %% of the orders", 100 * json_number_value(missing));
    else
        fputs("search lacks no order that is known", stdout);
    output_tone(stdout, TONE_PLAIN);
    fputc('\n', stdout);
    if (fault != NULL) {
        fputs("               ", stdout);
        output_text(stdout, fault);
        fputc('\n', stdout);
    }
    label("verified");
    output_time(stdout, at);
    if (at != NULL) {
        fputs(": ", stdout);
        field_print_number(index, "missing_documents");
        fputs(" missing, ", stdout);
        field_print_number(index, "extra_documents");
        fputs(" extra, ", stdout);
        field_print_number(index, "different_documents");
        fputs(" different; all orders ", stdout);
        output_time(stdout, field_text(index, "verified_full_at"));
    }
    fputc('\n', stdout);
}

static void print(const json_t *status)
{
    const char *summary = field_text(status, "summary");
    const json_t *jobs = json_object_get(status, "jobs");
    json_t *item;
    size_t i;
    output_tone(stdout, field_true(status, "well") ? TONE_GOOD : TONE_BAD);
    output_text(stdout, summary != NULL ? summary : "?");
    output_tone(stdout, TONE_PLAIN);
    fputs("\n\n", stdout);
    output_tone(stdout, TONE_STRONG);
    printf("  %-10s %-28s %-11s %s\n", "SERVICE", "REPLICA", "STATUS", "SINCE, RATES");
    output_tone(stdout, TONE_PLAIN);
    json_array_foreach(json_object_get(status, "services"), i, item) print_service(item);
    fputc('\n', stdout);
    print_queue(status);
    print_flow(status);
    print_dead(status);
    print_index(status);
    label("last refresh");
    output_time(stdout, field_text(status, "last_refresh_at"));
    fputc('\n', stdout);
    json_array_foreach(jobs, i, item) if (is_long_and_runs(item))
    {
        label("running");
        job_print_progress(item, field_text(status, "at"));
    }
    if (json_array_size(jobs) > 0) {
        fputs("\nThe newest jobs:\n", stdout);
        job_print_heading();
        json_array_foreach(jobs, i, item) job_print_row(item);
    }
}

int status_command(struct session *session, int argc, char **argv)
{
    struct answer answer;
    session_parse(&argp, argc, argv, &session);
    int code = request_json(session, "GET", "/api/admin/status", NULL, &answer);
    if (code != EXIT_GOOD)
        return code;
    if (session->json)
        output_json(stdout, answer.json, JSON_COMPACT);
    else
        print(answer.json);
    if (!field_true(answer.json, "well"))
        code = EXIT_WRONG;
    answer_release(&answer);
    return code;
}
