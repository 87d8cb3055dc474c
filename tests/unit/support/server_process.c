/* Private servers for tests. The server is a child of the test program and has a death signal, so a
 * test that crashes leaves no server behind. */
#include "tests/unit/support/server_process.h"
#include "tests/unit/support/real_time.h"
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(bool done, const char *what)
{
    if (!done) {
        perror(what);
        abort();
    }
}

static const struct passwd *user_to_become(const char *user)
{
    if (user == NULL || getuid() != 0)
        return NULL;
    const struct passwd *found = getpwnam(user);
    must(found != NULL, user);
    return found;
}

void server_folder_make(char path[SERVER_FOLDER_SIZE], const char *user)
{
    (void)snprintf(path, SERVER_FOLDER_SIZE, "/tmp/unit-test-server-XXXXXX");
    must(mkdtemp(path) != NULL, path);
    const struct passwd *owner = user_to_become(user);
    must(owner == NULL || chown(path, owner->pw_uid, owner->pw_gid) == 0, path);
}

/* A file may vanish meanwhile: the last processes of a server tidy up behind them. */
static int remove_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    (void)remove(path);
    return 0;
}

void server_folder_remove(const char *path)
{
    (void)nftw(path, remove_file, 16, FTW_DEPTH | FTW_PHYS);
}

static void become(const struct server_process *server, pid_t parent)
{
    const struct passwd *user = user_to_become(server->user);
    must(user == NULL || (initgroups(user->pw_name, user->pw_gid) == 0 &&
                          setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0),
         server->user);
    /* After the change of user, which clears it. */
    must(prctl(PR_SET_PDEATHSIG, server->end_signal) == 0, "prctl");
    if (getppid() != parent)
        _exit(1);
    must(chdir(server->folder) == 0, server->folder);
    must(freopen("/dev/null", "r", stdin) != NULL && freopen("log", "a", stdout) != NULL &&
             dup2(STDOUT_FILENO, STDERR_FILENO) >= 0,
         "log");
    execvp(server->argv[0], (char *const *)server->argv);
    perror(server->argv[0]);
    _exit(127);
}

static void launch(struct server_process *server)
{
    pid_t parent = getpid();
    server->pid = fork();
    must(server->pid >= 0, "fork");
    if (server->pid == 0)
        become(server, parent);
}

void server_process_start(struct server_process *server)
{
    launch(server);
    int64_t end_ms = real_time_ms() + PATIENCE_MS;
    while (server->ready != NULL && !server->ready()) {
        if (real_time_ms() > end_ms) {
            (void)fprintf(stderr, "%s does not start; see %s/log\n", server->argv[0],
                          server->folder);
            abort();
        }
        (void)usleep(20000);
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            launch(server);
    }
}

void server_process_run(struct server_process *server)
{
    int status;
    launch(server);
    if (waitpid(server->pid, &status, 0) != server->pid || status != 0) {
        (void)fprintf(stderr, "%s failed; see %s/log\n", server->argv[0], server->folder);
        abort();
    }
}

void server_process_end(struct server_process *server, int signal)
{
    (void)kill(server->pid, signal);
    (void)waitpid(server->pid, NULL, 0);
}
