/* orderctl trace: the fate of one order. Everybody may ask for it; the letters' details and traces
 * are shown to who has a token. */
#include "services/base/clock.h"
#include "services/base/config.h"
#include "services/orderctl/arguments.h"
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/interrupt.h"
#include "services/orderctl/output.h"
#include "services/orderctl/query.h"
#include "services/orderctl/request.h"
#include <stdlib.h>
#include <string.h>

#define FOLLOW_MS (10 * 60 * 1000)
#define LOOK_INTERVAL_MS 500

struct trace {
    struct session *session;
    const char *order_id;
    bool follow;
    int64_t follow_ms;
};

static const struct argp_option options[] = {
    {"follow", 'f', NULL, 0, "Wait until it is searchable or dead", 0},
    {"for", 'w', "DURATION", 0, "Follow for at most so long (10m)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct trace *trace = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = trace->session;
        return 0;
    case 'f':
        trace->follow = true;
        return 0;
    case 'w':
        if (duration_parse(arg, &trace->follow_ms) != 0)
            argp_error(state, "--for must be a duration such as 30s or 10m");
        trace->follow = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one order at a time");
        trace->order_id = argument_order_id(state, arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which order? give its id");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    options,
    parse,
    "ID",
    "Tells where an order is: accepted, stored, searchable or dead. Ends with 1 when it is dead or "
    "nobody knows it, with 75 when --follow has waited for too long.",
    session_children,
    NULL,
    NULL};

static void print_known(const char *what, const json_t *value)
{
    printf("  %-12s %s\n", what,
           json_is_true(value)    ? "yes"
           : json_is_false(value) ? "no"
                                  : "unknown: not to be asked now");
}

static void print_letter(const json_t *letter)
{
    const char *state = field_text(letter, "state"), *reason = field_text(letter, "reason"),
               *stage = field_text(letter, "stage"), *detail = field_text(letter, "detail"),
               *trace = field_text(letter, "trace_id"), *as = field_text(letter, "replayed_as");
    printf("  letter %lld (", field_number(letter, "id", 0));
    output_text(stdout, state != NULL ? state : "?");
    fputs("): ", stdout);
    output_text(stdout, reason != NULL ? reason : "?");
    fputs(" at ", stdout);
    output_text(stdout, stage != NULL ? stage : "?");
    fputs(", ", stdout);
    output_time(stdout, field_text(letter, "died_at"));
    fputc('\n', stdout);
    if (detail != NULL) {
        fputs("               ", stdout);
        output_text(stdout, detail);
        fputc('\n', stdout);
    }
    if (trace != NULL) {
        fputs("               trace ", stdout);
        output_text(stdout, trace);
        fputc('\n', stdout);
    }
    if (as != NULL) {
        fputs("               replayed as order ", stdout);
        output_text(stdout, as);
        fputc('\n', stdout);
    }
}

/* The letters as the admin API tells them; NULL without a token, or when it does not answer. */
static json_t *full_letters(const struct trace *trace)
{
    struct answer answer;
    struct error err;
    json_t *letters = NULL;
    if (trace->session->token == NULL && trace->session->read_token == NULL)
        return NULL;
    struct query query = query_new("/api/admin/dead-letters");
    query_add(&query, "state", "all");
    query_add(&query, "order_id", trace->order_id);
    if (request_send(trace->session, "GET", query.text, NULL, REQUEST_TIMEOUT_MS, &answer, &err) ==
        0) {
        if (answer.status == 200)
            letters = json_incref(json_object_get(answer.json, "dead_letters"));
        answer_release(&answer);
    }
    free(query.text);
    return letters;
}

/* Also an order that died before anybody knew it as one: the API calls it accepted. A letter
 * id_conflict is of another order with the same id. */
static bool is_dead(const json_t *fate)
{
    const char *state = field_text(fate, "state");
    json_t *letter;
    size_t i;
    if (state == NULL || strcmp(state, "accepted") != 0)
        return state != NULL && strcmp(state, "dead") == 0;
    json_array_foreach(json_object_get(fate, "dead_letters"), i, letter)
    {
        const char *ends = field_text(letter, "state"), *reason = field_text(letter, "reason");
        if (ends != NULL && strcmp(ends, "dead") == 0 &&
            (reason == NULL || strcmp(reason, "id_conflict") != 0))
            return true;
    }
    return false;
}

static void print(const struct trace *trace, const json_t *fate)
{
    const char *state = field_text(fate, "state");
    const json_t *letters = json_object_get(fate, "dead_letters");
    json_t *letter, *full = json_array_size(letters) > 0 ? full_letters(trace) : NULL;
    size_t i;
    bool dead = is_dead(fate);
    printf("Order %s: ", trace->order_id);
    output_tone(stdout, dead ? TONE_BAD : TONE_GOOD);
    if (dead)
        state = "dead";
    output_text(stdout, state != NULL ? state : "state unknown");
    output_tone(stdout, TONE_PLAIN);
    fputc('\n', stdout);
    output_time_field("accepted", field_text(fate, "accepted_at"));
    print_known("stored", json_object_get(fate, "stored"));
    print_known("searchable", json_object_get(fate, "searchable"));
    if (json_is_null(letters))
        fputs("  dead letters unknown: not to be asked now, or they are not archived\n", stdout);
    json_array_foreach(full != NULL ? full : letters, i, letter) print_letter(letter);
    if (dead)
        fputs("  See it, and bring it back: orderctl dead show ID, orderctl dead replay ID\n",
              stdout);
    json_decref(full);
}

static bool state_is(const struct answer *answer, const char *state)
{
    const char *is = field_text(answer->json, "state");
    return is != NULL && strcmp(is, state) == 0;
}

static int tell(const struct trace *trace, const struct answer *answer)
{
    int code = request_exit_code(answer->status);
    if (code == EXIT_GOOD && !json_is_object(answer->json))
        code = EXIT_NOT_UNDERSTOOD;
    if (code != EXIT_GOOD) {
        request_complain(trace->session, answer);
        return code;
    }
    if (trace->session->json)
        output_json(stdout, answer->json, JSON_COMPACT);
    else
        print(trace, answer->json);
    return is_dead(answer->json) ? EXIT_WRONG : EXIT_GOOD;
}

/* While following: each state once, as it comes. */
static void tell_change(const struct answer *answer, char last[16])
{
    const char *state = field_text(answer->json, "state");
    if (state == NULL || strncmp(state, last, 15) == 0)
        return;
    (void)snprintf(last, 16, "%.15s", state);
    output_text(stderr, state);
    fputs("…\n", stderr);
}

/* What is passing is waited out while following: a gateway that restarts, a server that is down. */
static bool may_change(const struct answer *answer)
{
    int code = request_exit_code(answer->status);
    return code == EXIT_UNAVAILABLE ||
           (code == EXIT_GOOD && !state_is(answer, "searchable") && !is_dead(answer->json));
}

int trace_command(struct session *session, int argc, char **argv)
{
    struct trace trace = {.session = session, .follow_ms = FOLLOW_MS};
    struct answer answer = {0};
    struct error err;
    session_parse(&argp, argc, argv, &trace);
    struct query query = query_new("/api/orders/%s/status", trace.order_id);
    int64_t end_ms = clock_monotonic_ms() + trace.follow_ms;
    bool answered, again = false;
    char last[16] = "";
    if (trace.follow)
        interrupt_watch();
    do {
        answer_release(&answer);
        answered =
            request_send(session, "GET", query.text, NULL, REQUEST_TIMEOUT_MS, &answer, &err) == 0;
        again = trace.follow && (!answered || may_change(&answer));
        if (again && answered)
            tell_change(&answer, last);
    } while (again && clock_monotonic_ms() < end_ms && !interrupt_sleep_ms(LOOK_INTERVAL_MS));
    free(query.text);
    int code;
    if (interrupt_asked()) {
        fputs("Stopped following; the order goes on.\n", stderr);
        code = EXIT_INTERRUPTED;
    } else if (!answered) {
        request_complain_unreachable(session, &err);
        code = EXIT_UNAVAILABLE;
    } else {
        code = tell(&trace, &answer);
        if (code == EXIT_GOOD && again) {
            fputs("orderctl: it is not searchable yet; see what is wrong: orderctl status\n",
                  stderr);
            code = EXIT_TOO_LATE;
        }
    }
    answer_release(&answer);
    return code;
}
