/* The commands, each in its own file. */
#ifndef ORDERCTL_COMMANDS_H
#define ORDERCTL_COMMANDS_H

#include "services/orderctl/session.h"

/* Run a command: `argv` begins with its name for messages ("orderctl status"). Returns what to end
 * with. */
typedef int command_fn(struct session *session, int argc, char **argv);

struct command {
    const char *name, *summary;
    command_fn *run;
};

/* Parse options up to the first word, which names one of the commands, and run that. `prefix` is
 * "orderctl" or "orderctl dead". `otherwise` is what runs without a word, or NULL. */
int command_choose(struct session *session, int argc, char **argv, const struct command *commands,
                   size_t count, const char *doc, command_fn *otherwise);

command_fn status_command, trace_command, dead_command, dead_list_command, dead_show_command,
    dead_replay_command, dead_discard_command, jobs_command, refresh_command, reindex_command,
    verify_command, submit_command;

#endif
