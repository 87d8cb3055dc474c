/* orderctl dead, list and show. */
#include "services/base/memory.h"
#include "services/orderctl/arguments.h"
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/filter.h"
#include "services/orderctl/letter.h"
#include "services/orderctl/output.h"
#include "services/orderctl/request.h"
#include <stdlib.h>
#include <string.h>

#define PAGE 500
#define LIST_MAX 1000000

static const struct command commands[] = {
    {"list", "which there are, newest first", dead_list_command},
    {"show", "all about one", dead_show_command},
    {"replay", "send one again, or all that match", dead_replay_command},
    {"discard", "give one up, or all that match", dead_discard_command},
};

int dead_command(struct session *session, int argc, char **argv)
{
    return command_choose(session, argc, argv, commands, sizeof(commands) / sizeof(commands[0]),
                          "Dead letters: orders that could not be stored.", NULL);
}

/* list */

struct list {
    struct session *session;
    struct filter filter;
    const char *state;
    long long limit;
};

static const struct argp_option list_options[] = {
    {"state", 's', "STATE", 0, "dead (the default), replayed, discarded or all", 0},
    {"limit", 'n', "N", 0, "At most so many (50)", 0},
    {0},
};

static error_t parse_list(int key, char *arg, struct argp_state *state)
{
    struct list *list = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &list->filter;
        state->child_inputs[1] = list->session;
        return 0;
    case 's':
        list->state = arg;
        return 0;
    case 'n':
        list->limit = argument_number(state, "--limit", arg, 1, LIST_MAX);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is too much; one letter is shown by: orderctl dead show ID", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child filter_children[] = {
    {&filter_argp, 0, "Which:", 0},
    {&session_argp, 0, "Options of every command:", 1},
    {0},
};
static const struct argp list_argp = {
    list_options, parse_list, "", "Lists dead letters, newest first.", filter_children, NULL, NULL};

/* Pages until there are enough. With `all` as JSON, else printed as they come. */
static int list_pages(const struct list *list, json_t *all, char **ret_more)
{
    char *cursor = NULL;
    long long left = list->limit;
    int code = EXIT_GOOD;
    bool more = true;
    while (more && left > 0 && code == EXIT_GOOD) {
        struct answer answer;
        struct query query = query_new("/api/admin/dead-letters");
        query_add(&query, "state", list->state);
        filter_add(&list->filter, &query);
        query_add_number(&query, "limit", left < PAGE ? left : PAGE);
        query_add(&query, "cursor", cursor);
        code = request_json(list->session, "GET", query.text, NULL, &answer);
        free(query.text);
        if (code != EXIT_GOOD)
            break;
        json_t *page = json_object_get(answer.json, "dead_letters"), *letter;
        size_t i;
        if (all == NULL && cursor == NULL && json_array_size(page) > 0)
            letter_print_heading();
        else if (all == NULL && cursor == NULL)
            printf("No dead letter matches.\n");
        json_array_foreach(page, i, letter)
        {
            if (all == NULL)
                letter_print_row(letter);
            else if (json_array_append(all, letter) != 0)
                abort();
        }
        left -= (long long)json_array_size(page);
        const char *next = field_text(answer.json, "next");
        more = next != NULL && json_array_size(page) > 0;
        free(cursor);
        cursor = more ? memory_copy_text(next) : NULL;
        answer_release(&answer);
    }
    *ret_more = cursor;
    return code;
}

int dead_list_command(struct session *session, int argc, char **argv)
{
    struct list list = {.session = session, .limit = 50};
    char *next = NULL;
    session_parse(&list_argp, argc, argv, &list);
    json_t *all = session->json ? json_array() : NULL;
    int code = list_pages(&list, all, &next);
    if (code == EXIT_GOOD && session->json) {
        json_t *json = json_pack("{s:O, s:s?}", "dead_letters", all, "next", next);
        output_json(stdout, json, JSON_COMPACT);
        json_decref(json);
    } else if (code == EXIT_GOOD && next != NULL) {
        printf("There are more: --limit N shows them, filters find some.\n");
    }
    json_decref(all);
    free(next);
    return code;
}

/* show */

struct show {
    struct session *session;
    long long id;
    bool body;
};

static const struct argp_option show_options[] = {
    {"body", 'b', NULL, 0, "Only its body, as it is, for a file", 0},
    {0},
};

static error_t parse_show(int key, char *arg, struct argp_state *state)
{
    struct show *show = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = show->session;
        return 0;
    case 'b':
        show->body = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one letter at a time");
        show->id = argument_number(state, "ID", arg, 1, INT64_MAX);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which letter? orderctl dead list tells the ids");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp show_argp = {
    show_options,     parse_show, "ID", "Shows a dead letter with its body and headers.",
    session_children, NULL,       NULL};

int dead_show_command(struct session *session, int argc, char **argv)
{
    struct show show = {.session = session};
    struct answer answer;
    session_parse(&show_argp, argc, argv, &show);
    struct query query = query_new("/api/admin/dead-letters/%lld", show.id);
    int code = request_json(session, "GET", query.text, NULL, &answer);
    free(query.text);
    if (code != EXIT_GOOD)
        return code;
    if (show.body)
        code = letter_print_body(answer.json);
    else if (session->json)
        output_json(stdout, answer.json, JSON_COMPACT);
    else
        letter_print(answer.json);
    answer_release(&answer);
    return code;
}
