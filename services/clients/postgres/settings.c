/* One statement sets all: set_config() with `true` sets until the transaction ends, and leaves
 * nothing behind. */
#include "services/clients/postgres/settings.h"
#include <inttypes.h>
#include <stdio.h>

/* A transaction that waits for its client longer than this is rolled back by the server, so that a
 * frozen process does not keep its locks. */
#define IDLE_IN_TRANSACTION_TIMEOUT "15s"

/* search_path stays: it tells where the tables are. With synchronous_commit off, an order would be
 * acknowledged before it is durable. A statement whose client is gone ends within 2 s (PostgreSQL
 * 14 and later). default_transaction_isolation is for transactions that begin later. */
const char settings_sql[] =
    "SELECT set_config('statement_timeout', $1, $3), set_config('lock_timeout', $2, $3),"
    " set_config('timezone', 'UTC', $3),"
    " set_config('default_transaction_isolation', 'read committed', $3),"
    " set_config('idle_in_transaction_session_timeout', '" IDLE_IN_TRANSACTION_TIMEOUT "', $3),"
    " CASE WHEN current_setting('synchronous_commit') = 'off'"
    " THEN set_config('synchronous_commit', 'on', $3) END,"
    " CASE WHEN current_setting('client_connection_check_interval', true) IS NOT NULL"
    " THEN set_config('client_connection_check_interval', '2s', $3) END";

void settings_init(struct settings *settings, const struct database_options *options)
{
    (void)snprintf(settings->statement_timeout, sizeof settings->statement_timeout, "%" PRId64 "ms",
                   options->statement_timeout_ms); /* fits */
    (void)snprintf(settings->lock_timeout, sizeof settings->lock_timeout, "%" PRId64 "ms",
                   options->lock_timeout_ms);
}

void settings_parameters(const struct settings *settings, enum settings_scope scope,
                         const char *ret_values[SETTINGS_PARAMETERS])
{
    ret_values[0] = settings->statement_timeout;
    ret_values[1] = settings->lock_timeout;
    ret_values[2] = scope == SETTINGS_OF_TRANSACTION ? "true" : "false";
}
