/* Serves the admin pages on a thread of its own, so that a busy service still answers. */
#ifndef RUNTIME_ADMIN_SERVER_H
#define RUNTIME_ADMIN_SERVER_H

#include "proto/error.h"
#include <stdint.h>

struct admin_server;

#define ADMIN_SERVER_CONNECTIONS_MAX 64

/* Listen and start the thread. Returns NULL with `err` set when the port cannot be had. */
struct admin_server *admin_server_new(const char *address, uint16_t port, struct error *err)
    __attribute__((warn_unused_result));

/* Stop and wait for the thread; at most 1 s. NULL is legal. */
void admin_server_free(struct admin_server *server);

/* Ask a running instance for `path`; a wildcard address means this machine. Returns 0 when the
 * answer is 200, else -1 with `err` set. Blocks at most 2 s. */
int admin_server_ask(const char *address, uint16_t port, const char *path, struct error *err)
    __attribute__((warn_unused_result));

#endif
