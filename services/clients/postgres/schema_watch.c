/* One statement every WATCH_MS. What the statement finds is not repaired here: opening a connection
 * does all of that (session.c). */
#include "services/clients/postgres/schema_watch.h"
#include "services/base/memory.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/schema.h"
#include <stdio.h>
#include <stdlib.h>

#define WATCH_MS 2000

struct schema_watch {
    struct database *database;
    struct loop_timer *timer;
};

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct schema_watch *watch = arg;
    loop_timer_start(watch->timer, WATCH_MS);
    if (answer->status != DATABASE_OK)
        return; /* it was lost or late, and says nothing about the schema */
    struct schema_look look;
    schema_look_read(answer->result, &look);
    const char *reason = look.fault.message[0] != '\0' ? look.fault.message : look.missing.message;
    if (reason[0] == '\0')
        return;
    char line[sizeof look.fault.message + 20];
    snprintf(line, sizeof line, "the schema: %s", reason);
    database_reopen(watch->database, line);
}

static void on_timer(void *arg)
{
    struct schema_watch *watch = arg;
    char uses[12];
    snprintf(uses, sizeof uses, "%u", database_uses(watch->database));
    const char *const values[] = {uses};
    const struct database_parameters parameters = {.count = 1, .values = values};
    if (database_call(watch->database, schema_check_sql, &parameters, false, on_looked, NULL,
                      watch) != 0)
        loop_timer_start(watch->timer, WATCH_MS); /* not connected */
}

struct schema_watch *schema_watch_new(struct event_loop *loop, struct database *database)
{
    struct schema_watch *watch = memory_new(sizeof *watch);
    watch->database = database;
    watch->timer = event_loop_timer(loop, on_timer, watch);
    loop_timer_start(watch->timer, WATCH_MS);
    return watch;
}

void schema_watch_free(struct schema_watch *watch)
{
    if (watch == NULL)
        return;
    loop_timer_free(watch->timer);
    free(watch);
}
