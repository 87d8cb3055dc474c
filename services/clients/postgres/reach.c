/* What --check and the configuration ask about a connection string. */
#include "services/base/clock.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/dsn.h"
#include "services/loop/event_loop.h"

#define REACH_TIMEOUT_MS 5000

int database_dsn_validate(const char *text, struct error *err)
{
    struct dsn *dsn = dsn_parse(text, err);
    if (dsn == NULL)
        return -1;
    dsn_free(dsn);
    return 0;
}

struct reach {
    bool known, up;
    struct error reason;
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct reach *reach = arg;
    reach->known = true;
    reach->up = up;
    if (!up)
        error_set(&reach->reason, "%s", reason);
}

int database_reach(const char *dsn, struct error *err)
{
    struct reach reach = {.reason = {"no answer in time"}};
    const struct database_options options = {
        .dsn = dsn,
        .application_name = "check",
        .max_in_flight = 1,
        .statement_timeout_ms = REACH_TIMEOUT_MS,
        .on_state = on_state,
        .arg = &reach,
    };
    struct event_loop *loop = event_loop_new();
    struct database *database = database_new(loop, &options);
    int64_t deadline_ms = clock_monotonic_ms() + REACH_TIMEOUT_MS;
    int64_t left_ms = REACH_TIMEOUT_MS;
    for (; !reach.known && left_ms > 0; left_ms = deadline_ms - clock_monotonic_ms())
        event_loop_turn(loop, (int)left_ms);
    database_free(database);
    event_loop_free(loop);
    if (reach.up)
        return 0;
    error_set(err, "%s", reach.reason.message);
    return -1;
}
