/* orderctl dead replay and discard: one letter by its id, or all that a filter finds. The letters
 * of a filter are counted first, and the user is asked once more. */
#include "services/base/memory.h"
#include "services/orderctl/arguments.h"
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/filter.h"
#include "services/orderctl/job.h"
#include "services/orderctl/output.h"
#include "services/orderctl/request.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ORDER_MAX_BYTES 65536

struct settle {
    struct session *session;
    bool replay; /* else discard */
    long long id;
    struct filter filter;
    bool all, dry_run, yes, no_wait, new_id;
    long long per_second; /* 0: the gateway's default */
    const char *order;    /* file */
    const char *because;
};

enum {
    KEY_ORDER = 0x300,
    KEY_NEW_ID,
    KEY_PER_SECOND,
    KEY_DRY_RUN,
    KEY_ALL,
    KEY_NO_WAIT,
    KEY_BECAUSE
};

#define MASS_OPTIONS                                                                               \
    {"all", KEY_ALL, NULL, 0, "Every dead letter, instead of a filter", 0},                        \
        {"dry-run", KEY_DRY_RUN, NULL, 0, "Only tell how many match", 0},                          \
        {"yes", 'y', NULL, 0, "Do not ask", 0},                                                    \
        {"no-wait", KEY_NO_WAIT, NULL, 0, "Do not watch the job", 0}, {0},

static const struct argp_option replay_options[] = {
    {"order", KEY_ORDER, "FILE", 0,
     "The corrected order, as JSON: {\"product_name\":…,\"amount\":…}; - is standard input", 0},
    {"new-id", KEY_NEW_ID, NULL, 0,
     "The corrected order gets a new id; a letter id_conflict needs that", 0},
    {"per-second", KEY_PER_SECOND, "N", 0, "At most so many a second, 1 to 1000 (50)", 0},
    MASS_OPTIONS};
static const struct argp_option discard_options[] = {
    {"because", KEY_BECAUSE, "TEXT", 0, "Why they are given up; kept with the letter", 0},
    MASS_OPTIONS};

static void check(const struct settle *settle, struct argp_state *state)
{
    bool filtered = settle->all || !filter_is_empty(&settle->filter);
    if (settle->id != 0 && filtered)
        argp_error(state, "give an ID or a filter, not both");
    if (settle->id == 0 && !filtered)
        argp_error(state, "which letters? give an ID, a filter or --all");
    if (settle->id != 0 && (settle->dry_run || settle->no_wait || settle->per_second != 0))
        argp_error(state, "--dry-run, --no-wait and --per-second are for many letters");
    if (settle->id == 0 && (settle->order != NULL || settle->new_id))
        argp_error(state, "--order and --new-id are for one letter");
    if (settle->new_id && settle->order == NULL)
        argp_error(state, "--new-id is for a corrected order: --order FILE");
    if (!settle->replay && settle->because == NULL && !settle->dry_run)
        argp_error(state, "why? --because TEXT is kept with the letter");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct settle *settle = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &settle->filter;
        state->child_inputs[1] = settle->session;
        return 0;
    case KEY_ORDER:
        settle->order = arg;
        return 0;
    case KEY_NEW_ID:
        settle->new_id = true;
        return 0;
    case KEY_PER_SECOND:
        settle->per_second = argument_number(state, "--per-second", arg, 1, 1000);
        return 0;
    case KEY_DRY_RUN:
        settle->dry_run = true;
        return 0;
    case KEY_ALL:
        settle->all = true;
        return 0;
    case KEY_NO_WAIT:
        settle->no_wait = true;
        return 0;
    case KEY_BECAUSE:
        settle->because = argument_text(state, "--because", arg);
        return 0;
    case 'y':
        settle->yes = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one ID at a time; many letters are found by a filter");
        settle->id = argument_number(state, "ID", arg, 1, INT64_MAX);
        return 0;
    case ARGP_KEY_END:
        check(settle, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&filter_argp, 0, "Which, if not one by its ID:", 0},
    {&session_argp, 0, "Options of every command:", 1},
    {0},
};
static const struct argp replay_argp = {replay_options,
                                        parse,
                                        "[ID]",
                                        "Sends a dead letter's order again: as it is, or "
                                        "corrected. Or all letters that a filter finds, "
                                        "as a job: at most 10 at a time whose fate is not known, "
                                        "and it stops when 5 in a row die again.",
                                        children,
                                        NULL,
                                        NULL};
static const struct argp discard_argp = {
    discard_options,
    parse,
    "[ID]",
    "Gives a dead letter up, or all that a filter finds. The letter stays readable for the "
    "retention time.",
    children,
    NULL,
    NULL};

/* One */

/* The body of a corrected replay. The order goes in as it was written, so that its amount keeps
 * every digit. NULL after a complaint. */
static char *corrected_body(const struct settle *settle)
{
    size_t len;
    char *order = argument_file_read(settle->order, ORDER_MAX_BYTES, &len), *body = NULL;
    json_error_t error;
    if (order == NULL)
        return NULL;
    json_t *json = json_loadb(order, len, JSON_ALLOW_NUL, &error);
    if (!json_is_object(json)) {
        fprintf(stderr, "orderctl: %s is not a JSON object", settle->order);
        if (json == NULL) {
            fprintf(stderr, ": line %d: ", error.line);
            output_text(stderr, error.text);
        }
        fputs("\n  It must be {\"product_name\":\"…\",\"amount\":…}.\n", stderr);
    } else if (asprintf(&body, "{\"order\":%s,\"new_id\":%s}", order,
                        settle->new_id ? "true" : "false") < 0) {
        abort();
    }
    json_decref(json);
    free(order);
    return body;
}

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL)
        abort();
    return text;
}

static int settle_one(const struct settle *settle)
{
    struct answer answer;
    char *body = NULL;
    if (settle->order != NULL && (body = corrected_body(settle)) == NULL)
        return EXIT_NO_INPUT;
    if (!settle->replay)
        body = dump(json_pack("{s:s}", "reason", settle->because));
    struct query query = query_new("/api/admin/dead-letters/%lld/%s", settle->id,
                                   settle->replay ? "replay" : "discard");
    int code = request_json(settle->session, "POST", query.text, body, &answer);
    free(query.text);
    free(body);
    if (code != EXIT_GOOD)
        return code;
    const char *order_id = field_text(answer.json, "order_id");
    if (settle->session->json) {
        output_json(stdout, answer.json, JSON_COMPACT);
    } else if (settle->replay) {
        printf("Letter %lld is on its way again", settle->id);
        if (order_id != NULL) {
            fputs(". See it arrive: orderctl trace --follow ", stdout);
            output_text(stdout, order_id);
        }
        fputc('\n', stdout);
    } else {
        printf("Letter %lld is discarded.\n", settle->id);
    }
    answer_release(&answer);
    return code;
}

/* Many */

static int ask_gateway(const struct settle *settle, bool dry_run, struct answer *ret_answer)
{
    json_t *json =
        json_pack("{s:o, s:b}", "filter", filter_json(&settle->filter), "dry_run", (int)dry_run);
    if (settle->per_second != 0)
        (void)json_object_set_new(json, "per_second", json_integer(settle->per_second));
    if (!settle->replay && settle->because != NULL)
        (void)json_object_set_new(json, "reason", json_string(settle->because));
    char *body = dump(json);
    int code = request_json(settle->session, "POST",
                            settle->replay ? "/api/admin/dead-letters/replay"
                                           : "/api/admin/dead-letters/discard",
                            body, ret_answer);
    free(body);
    return code;
}

static void print_dry_run(const json_t *json)
{
    long long matches = field_number(json, "matches", 0);
    printf("%lld dead letter%s", matches, matches == 1 ? " matches" : "s match");
    const json_t *by_reason = json_object_get(json, "by_reason");
    if (json_object_size(by_reason) > 0) {
        fputs(": ", stdout);
        field_print_counts(by_reason);
    }
    fputs(".\n", stdout);
    (void)fflush(stdout);
}

/* On a terminal. */
static bool confirmed(const struct settle *settle)
{
    char line[16];
    fprintf(stderr, "%s them? [y/N] ", settle->replay ? "Replay" : "Discard");
    (void)fflush(stderr);
    return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static int start_job(const struct settle *settle)
{
    struct answer answer;
    int code = ask_gateway(settle, false, &answer);
    if (code != EXIT_GOOD)
        return code;
    long long job = field_number(answer.json, "job", 0);
    if (settle->no_wait && settle->session->json)
        output_json(stdout, answer.json, JSON_COMPACT);
    else if (settle->no_wait)
        printf("Job %lld has begun with %lld letters. Watch it: orderctl jobs watch %lld\n", job,
               field_number(answer.json, "total", 0), job);
    answer_release(&answer);
    return settle->no_wait ? EXIT_GOOD : job_watch(settle->session, job);
}

static int settle_many(const struct settle *settle)
{
    struct answer answer;
    int code = ask_gateway(settle, true, &answer);
    if (code != EXIT_GOOD)
        return code;
    long long matches = field_number(answer.json, "matches", 0);
    if (!settle->session->json)
        print_dry_run(answer.json);
    else if (settle->dry_run || matches == 0)
        output_json(stdout, answer.json, JSON_COMPACT);
    answer_release(&answer);
    if (settle->dry_run || matches == 0)
        return EXIT_GOOD;
    if (settle->yes)
        return start_job(settle);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        fprintf(stderr, "orderctl: nothing was done: without a terminal, --yes says that you mean "
                        "it\n");
        return EXIT_USAGE;
    }
    if (!confirmed(settle)) {
        fprintf(stderr, "Nothing was done.\n");
        return EXIT_WRONG;
    }
    return start_job(settle);
}

static int settle(struct settle *settle, const struct argp *argp, int argc, char **argv)
{
    session_parse(argp, argc, argv, settle);
    return settle->id != 0 ? settle_one(settle) : settle_many(settle);
}

int dead_replay_command(struct session *session, int argc, char **argv)
{
    struct settle replay = {.session = session, .replay = true};
    return settle(&replay, &replay_argp, argc, argv);
}

int dead_discard_command(struct session *session, int argc, char **argv)
{
    struct settle discard = {.session = session};
    return settle(&discard, &discard_argp, argc, argv);
}
