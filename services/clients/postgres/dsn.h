/* A PostgreSQL connection string, taken apart so that no connection attempt blocks on a name
 * service: libpq's PQconnectStart() resolves names by itself, and blocks, unless `hostaddr` comes
 * along (PostgreSQL documentation, "Database Connection Control Functions"). */
#ifndef CLIENTS_POSTGRES_DSN_H
#define CLIENTS_POSTGRES_DSN_H

#include "proto/error.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVERS_MAX 32

/* One place to connect to. Empty members were not given. */
struct server {
    char host[256];   /* a name, an address, or a Unix socket's folder */
    char address[80]; /* libpq's hostaddr */
    char port[16];
};

struct server_list {
    size_t count; /* 0: libpq's defaults */
    struct server items[SERVERS_MAX];
};

struct dsn;

/* Parse libpq keywords or a URI. Returns NULL with `err` set, which never quotes the text: it may
 * hold a password. Never blocks. */
struct dsn *dsn_parse(const char *text, struct error *err) __attribute__((warn_unused_result));
void dsn_free(struct dsn *dsn);

/* The servers named by the connection string or by PGHOST. None when there is nothing that this
 * module could resolve: then libpq's own rules hold (a default socket, or a service file, whose
 * names libpq resolves by itself). */
void dsn_servers(const struct dsn *dsn, struct server_list *ret_servers);

/* connect_timeout in ms when the connection string sets one, else `default_ms`. */
int64_t dsn_connect_timeout_ms(const struct dsn *dsn, int64_t default_ms);

/* PQconnectStartParams() to `servers`, beginning with the one at `first` (modulo their number):
 * UTF-8; and unless the connection string has settings of its own for it, dead peers noticed within
 * half a minute and no GSSAPI encryption. The result is the caller's, PQfinish() it. Does not block
 * if the servers have addresses or are sockets. */
PGconn *dsn_connect(const struct dsn *dsn, const struct server_list *servers, size_t first,
                    const char *application_name);

#endif
