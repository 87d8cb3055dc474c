/* orderctl: for operators. It looks at the pipeline and brings orders back through the gateway's
 * API. */
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"status", "is all well? if not, what is wrong, and since when", status_command},
    {"trace", "where one order is", trace_command},
    {"dead", "list, show, replay or discard dead letters", dead_command},
    {"jobs", "list, show, watch or cancel long jobs", jobs_command},
    {"refresh", "refresh the daily sales now", refresh_command},
    {"reindex", "rebuild the search index, and swap it in", reindex_command},
    {"verify", "compare the search index with PostgreSQL, and repair it", verify_command},
    {"submit", "send orders from a file; may be run again", submit_command},
};

int main(int argc, char **argv)
{
    struct session session = {0};
    argp_program_version = "orderctl " PIPELINE_VERSION;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        abort();
    char name[] = "orderctl";
    argv[0] = name;
    int code =
        command_choose(&session, argc, argv, commands, sizeof(commands) / sizeof(commands[0]),
                       "Looks at the order pipeline, and brings orders back.", NULL);
    session_release(&session);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "orderctl: cannot write all that is to be told: %s\n", strerror(errno));
        code = EXIT_NO_OUTPUT;
    }
    curl_global_cleanup();
    return code;
}
