/* Choosing a command. Each has an argp of its own, so that --help tells what it takes. */
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    struct session *session;
    const struct command *commands;
    size_t count;
    const struct command *chosen; /* or NULL */
    int at;                       /* its place in argv */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct choice *choice = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = choice->session;
        return 0;
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < choice->count; i++)
            if (strcmp(choice->commands[i].name, arg) == 0)
                choice->chosen = &choice->commands[i];
        if (choice->chosen == NULL)
            argp_error(state, "there is no command '%s'", arg);
        choice->at = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* `doc`, then a line for each command. */
static char *make_doc(const struct choice *choice, const char *doc)
{
    char *text;
    size_t len;
    FILE *stream = open_memstream(&text, &len);
    if (stream == NULL)
        abort();
    fprintf(stream, "%s\vCommands (each has --help):\n", doc);
    for (size_t i = 0; i < choice->count; i++)
        fprintf(stream, "  %-9s %s\n", choice->commands[i].name, choice->commands[i].summary);
    fputs("\nAddress and token come from ORDER_API_URL and ADMIN_TOKEN (or ADMIN_TOKEN_FILE).\n"
          "Ends with 0, or 1 when something is wrong; man orderctl lists the others.",
          stream);
    if (fclose(stream) != 0)
        abort();
    return text;
}

int command_choose(struct session *session, int argc, char **argv, const struct command *commands,
                   size_t count, const char *doc, command_fn *otherwise)
{
    struct choice choice = {.session = session, .commands = commands, .count = count};
    char *text = make_doc(&choice, doc), *name;
    const struct argp argp = {
        NULL, parse, otherwise != NULL ? "[COMMAND]" : "COMMAND", text, session_children,
        NULL, NULL};
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice) != 0)
        exit(EXIT_USAGE);
    int code;
    if (choice.chosen != NULL) {
        if (asprintf(&name, "%s %s", argv[0], choice.chosen->name) < 0)
            abort();
        argv[choice.at] = name;
        code = choice.chosen->run(session, argc - choice.at, argv + choice.at);
        free(name);
    } else if (otherwise != NULL) {
        char *alone[] = {argv[0], NULL}; /* the session's options have been read */
        code = otherwise(session, 1, alone);
    } else {
        argp_help(&argp, stderr, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, argv[0]);
        code = EXIT_USAGE;
    }
    free(text);
    return code;
}
