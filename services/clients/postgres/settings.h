/* What statements run under, whatever a role, a database or the server is configured to: UTC, the
 * limits, a commit that waits for the disk. A session of our own has the settings once and for all.
 * Behind a pooler the server's session is anybody's, so each transaction brings them along. Inside
 * the database module. */
#ifndef CLIENTS_POSTGRES_SETTINGS_H
#define CLIENTS_POSTGRES_SETTINGS_H

#include "services/clients/postgres/connection.h"

struct settings {
    char statement_timeout[24], lock_timeout[24];
};

void settings_init(struct settings *settings, const struct database_options *options);

enum settings_scope { SETTINGS_OF_SESSION, SETTINGS_OF_TRANSACTION };

/* A statement that sets them, and its parameters, which point into `settings`. */
extern const char settings_sql[];
#define SETTINGS_PARAMETERS 3
void settings_parameters(const struct settings *settings, enum settings_scope scope,
                         const char *ret_values[SETTINGS_PARAMETERS]);

#endif
