/* A private server of one test program, such as PostgreSQL. It ends with the test program, however
 * that ends. Every function aborts the test program, with a message, where it cannot do its work.
 */
#ifndef TESTS_SERVER_PROCESS_H
#define TESTS_SERVER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#define SERVER_FOLDER_SIZE 64

struct server_process {
    const char *const *argv; /* NULL at its end; argv[0] is looked up in PATH */
    const char *folder;      /* the server runs here, and writes its output to the file "log" */
    const char *user;        /* whom it becomes when the tests run as root; NULL: it stays root */
    int end_signal;          /* ends it at once; sent as well when the test program dies */
    bool (*ready)(void);     /* does it serve? NULL: nobody waits for it */
    pid_t pid;               /* set by start() */
};

/* Make a new folder below /tmp that belongs to `user` (as above). */
void server_folder_make(char path[SERVER_FOLDER_SIZE], const char *user);
void server_folder_remove(const char *path);

/* Start it and wait, for a minute at most, until it is ready. A server that ends before it is ready
 * is started again: PostgreSQL, after a kill, does so until the last of its old processes is gone.
 */
void server_process_start(struct server_process *server);

/* Run it to its end, which must be a good one. */
void server_process_run(struct server_process *server);

/* Send it a signal that ends it, and wait for its end. */
void server_process_end(struct server_process *server, int signal);

#endif
