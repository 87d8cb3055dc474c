/* The server refuses to run as root, so its processes become user postgres then. They are children
 * of this program with a death signal: a test that crashes leaves no server behind. */
#include "tests/unit/clients/postgres/postgres_server.h"
#include <arpa/inet.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_ATTEMPTS 600 /* of 100 ms */

static char folder[64];
static char bin[256];
static uint16_t port;
static pid_t server;

static void die(const char *what)
{
    perror(what);
    abort();
}

/* The newest installed server's programs. */
static void find_bin(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0)
        die("no /usr/lib/postgresql/*/bin/postgres");
    const char *newest = found.gl_pathv[found.gl_pathc - 1];
    snprintf(bin, sizeof bin, "%.*s", (int)(strrchr(newest, '/') - newest), newest);
    globfree(&found);
}

static pid_t run(const char *const argv[], const char *log)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child > 0)
        return child;
    if (getuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        if (user == NULL || initgroups(user->pw_name, user->pw_gid) != 0 ||
            setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
            die("becoming user postgres");
    }
    /* SIGQUIT: stop at once. After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent)
        _exit(1);
    char program[300], path[300];
    snprintf(program, sizeof program, "%s/%s", bin, argv[0]);
    snprintf(path, sizeof path, "%s/%s", folder, log);
    if (freopen("/dev/null", "r", stdin) == NULL || freopen(path, "a", stdout) == NULL ||
        dup2(STDOUT_FILENO, STDERR_FILENO) < 0 || chdir(folder) != 0)
        _exit(1);
    execv(program, (char *const *)argv);
    _exit(1);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("finding a free port");
    close(fd);
    return ntohs(address.sin_port);
}

void postgres_server_restart(void)
{
    char data[100], port_setting[32], sockets[100], dsn[150];
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(port_setting, sizeof port_setting, "port=%u", port);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", folder);
    snprintf(dsn, sizeof dsn, "host=%s port=%u user=postgres dbname=postgres", folder, port);
    const char *const argv[] = {"postgres",
                                "-D",
                                data,
                                "-c",
                                port_setting,
                                "-c",
                                sockets,
                                "-c",
                                "listen_addresses=127.0.0.1",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=16MB",
                                "-c",
                                "autovacuum=off",
                                NULL};
    for (int i = 0; i < START_ATTEMPTS; i++) {
        /* After a kill it does not start before the last of its old processes has noticed. */
        if (server == 0)
            server = run(argv, "log");
        if (waitpid(server, NULL, WNOHANG) == server)
            server = 0;
        else if (PQping(dsn) == PQPING_OK)
            return;
        usleep(100000);
    }
    die("PostgreSQL does not start");
}

void postgres_server_start(void)
{
    find_bin();
    snprintf(folder, sizeof folder, "/tmp/test-database-XXXXXX");
    if (mkdtemp(folder) == NULL)
        die("mkdtemp");
    if (getuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        if (user == NULL || chown(folder, user->pw_uid, user->pw_gid) != 0)
            die("chown to user postgres");
    }
    char data[100];
    snprintf(data, sizeof data, "%s/data", folder);
    const char *const argv[] = {"initdb", "-D",    data,         "-N",
                                "-A",     "trust", "-U",         "postgres",
                                "-E",     "UTF8",  "--locale=C", "--no-instructions",
                                NULL};
    int status;
    pid_t initdb = run(argv, "initdb.log");
    if (waitpid(initdb, &status, 0) != initdb || status != 0)
        die("initdb");
    port = free_port();
    postgres_server_restart();
}

void postgres_server_kill(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
}

void postgres_server_signal(int signal)
{
    kill(server, signal);
}

void postgres_server_stop(void)
{
    kill(server, SIGQUIT);
    waitpid(server, NULL, 0);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        die(command);
}

uint16_t postgres_server_port(void)
{
    return port;
}

const char *postgres_server_folder(void)
{
    return folder;
}
