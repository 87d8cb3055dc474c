/* The private PostgreSQL of a test program. PostgreSQL refuses to run as root, so its processes
 * become user postgres then. */
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/server_process.h"
#include <glob.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER "postgres"

static char folder[SERVER_FOLDER_SIZE];
static char program[300], port_setting[32], sockets_setting[100];
static uint16_t port;

static bool ready(void)
{
    char dsn[150];
    snprintf(dsn, sizeof dsn, "host=%s port=%u user=postgres dbname=postgres", folder, port);
    return PQping(dsn) == PQPING_OK;
}

static struct server_process server = {
    .argv = (const char *const[]){program, "-D", "data", "-c", port_setting, "-c", sockets_setting,
                                  "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c",
                                  "shared_buffers=16MB", "-c", "autovacuum=off", NULL},
    .folder = folder,
    .user = USER,
    .end_signal = SIGQUIT,
    .ready = ready,
};

/* The newest installed version. */
static void find_program(const char *name, char *path, size_t size)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0) {
        perror("no /usr/lib/postgresql/*/bin/postgres");
        abort();
    }
    const char *newest = found.gl_pathv[found.gl_pathc - 1];
    snprintf(path, size, "%.*s/%s", (int)(strrchr(newest, '/') - newest), newest, name);
    globfree(&found);
}

static void run(const char *const *argv)
{
    server_process_run(&(struct server_process){
        .argv = argv, .folder = folder, .user = USER, .end_signal = SIGQUIT});
}

void postgres_server_start(void)
{
    char initdb[300];
    server_folder_make(folder, USER);
    find_program("initdb", initdb, sizeof initdb);
    run((const char *const[]){initdb, "-D", "data", "-N", "-A", "trust", "-U", "postgres", "-E",
                              "UTF8", "--locale=C", "--no-instructions", NULL});
    port = loopback_free_ports(1);
    find_program("postgres", program, sizeof program);
    snprintf(port_setting, sizeof port_setting, "port=%u", port);
    snprintf(sockets_setting, sizeof sockets_setting, "unix_socket_directories=%s", folder);
    postgres_server_restart();
}

void postgres_server_restart(void)
{
    server_process_start(&server);
}

/* The server wants the file in which it notes how transactions of such numbers end. */
void postgres_server_go_on_at(uint32_t transaction)
{
    enum { PER_FILE = 32 * 32768 };
    char resetwal[300], number[16], file[40];
    find_program("pg_resetwal", resetwal, sizeof resetwal);
    snprintf(number, sizeof number, "%" PRIu32, transaction);
    snprintf(file, sizeof file, "data/pg_xact/%04X", transaction / PER_FILE);
    server_process_end(&server, SIGINT);
    run((const char *const[]){resetwal, "-x", number, "-D", "data", NULL});
    run((const char *const[]){"/usr/bin/truncate", "-s", "262144", file, NULL});
    postgres_server_restart();
}

void postgres_server_kill(void)
{
    server_process_end(&server, SIGKILL);
}

void postgres_server_signal(int signal)
{
    kill(server.pid, signal);
}

void postgres_server_stop(void)
{
    server_process_end(&server, SIGQUIT);
    server_folder_remove(folder);
}

uint16_t postgres_server_port(void)
{
    return port;
}

const char *postgres_server_folder(void)
{
    return folder;
}
