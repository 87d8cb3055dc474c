/* What is said to a Redis before it is used, and what its errors mean. A Redis that takes
 * connections may be a replica, loading, full, or closed to this user. So each connection begins
 * with the commands that the gateway uses. */
#ifndef CLIENTS_REDIS_REDIS_LOGIN_H
#define CLIENTS_REDIS_REDIS_LOGIN_H

#include "services/clients/redis/command_text.h"
#include "services/clients/redis/redis_connection.h"

/* The keys are order:<uuid>. */
#define REDIS_KEY_PREFIX "order:"

/* EVAL with the key and a number of seconds: delete the entry unless it lives longer. */
extern const char redis_remove_script[];

/* EVAL with the key, a content and a number of seconds: an entry of this content lives so long. */
extern const char redis_keep_script[];

struct redis_login_command {
    struct redis_word words[7];
    size_t count;
};
#define REDIS_LOGIN_COMMANDS 5

/* The commands: AUTH when there is a password, then the probe. The probe is every command that the
 * gateway uses, on the key of the nil UUID, which no order has. The value is empty, and the last
 * command deletes the key. A Redis that answers one of the commands with an error is not used.
 * Returns how many there are. The words live as long as the options. */
size_t redis_login(const struct redis_options *options,
                   struct redis_login_command ret_commands[REDIS_LOGIN_COMMANDS]);

/* Whether an error says that the server cannot serve now (READONLY, LOADING, OOM, NOPERM …), and
 * not just that one command was wrong. `error` is the answer's text. */
bool redis_error_is_the_servers(const char *error);

#endif
