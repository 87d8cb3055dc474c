/* Debian's PgBouncer refuses to run as root too, so it becomes user postgres then. */
#include "tests/unit/clients/postgres/pgbouncer.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/server_process.h"
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define USER "postgres"

static char folder[SERVER_FOLDER_SIZE];
static uint16_t port;

static bool ready(void)
{
    char dsn[100];
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%u user=postgres dbname=postgres", port);
    return PQping(dsn) == PQPING_OK;
}

static struct server_process server = {
    .argv = (const char *const[]){"/usr/sbin/pgbouncer", "pgbouncer.ini", NULL},
    .folder = folder,
    .user = USER,
    .end_signal = SIGQUIT,
    .ready = ready,
};

static void write_file(const char *name, const char *text)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

void pgbouncer_start(const char *settings)
{
    char text[1000];
    if (port == 0)
        port = loopback_free_ports(1);
    server_folder_make(folder, USER);
    write_file("users", "\"postgres\" \"\"\n");
    snprintf(text, sizeof text,
             "[databases]\n* = host=%s port=%u\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
             "listen_port = %u\nunix_socket_dir =\nauth_type = trust\nauth_file = users\n%s\n",
             postgres_server_folder(), postgres_server_port(), port, settings);
    write_file("pgbouncer.ini", text);
    server_process_start(&server);
}

void pgbouncer_stop(void)
{
    server_process_end(&server, SIGKILL);
    server_folder_remove(folder);
}

uint16_t pgbouncer_port(void)
{
    return port;
}
