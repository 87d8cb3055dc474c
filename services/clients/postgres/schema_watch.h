/* Looks at the schema again and again while a connection is up. When somebody has dropped or
 * changed something, the connection is opened anew, which installs what is missing or tells what is
 * wrong. */
#ifndef CLIENTS_POSTGRES_SCHEMA_WATCH_H
#define CLIENTS_POSTGRES_SCHEMA_WATCH_H

#include "services/clients/postgres/connection.h"

struct schema_watch;

/* The database stays the caller's. It is to be one whose statements may fail at any time. */
struct schema_watch *schema_watch_new(struct event_loop *loop, struct database *database);

/* After database_free(). NULL is legal. */
void schema_watch_free(struct schema_watch *watch);

#endif
