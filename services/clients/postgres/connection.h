/* One PostgreSQL connection in pipeline mode on an event loop. It connects by itself, again after a
 * loss (backoff with jitter, at most one attempt a second when it goes on), prepares its session
 * (UTC, timeouts, schema installed or upgraded) and then takes statements. A connection that is cut
 * while it is idle is opened again without a word. Never blocks the loop: a thread connects and
 * prepares. */
#ifndef CLIENTS_POSTGRES_CONNECTION_H
#define CLIENTS_POSTGRES_CONNECTION_H

#include "proto/error.h"
#include "services/loop/event_loop.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct database_options {
    const char *dsn;              /* libpq keywords or URI */
    const char *application_name; /* "gateway", for pg_stat_activity */
    unsigned max_in_flight;       /* statements sent and not answered; more are refused */
    int64_t statement_timeout_ms; /* > 0; enforced in the server, and here a little later */
    int64_t lock_timeout_ms;      /* 0 = none */
    bool installs_schema;         /* run schema_install() before anything else */
    bool reads_only;              /* a server that takes no writes, as a standby, will do */
    /* Called on each change of state, NULL reason when up; and with the reason (one printable line
     * without secrets) after each attempt to connect that failed, and when one takes long. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct database;

/* Begins to connect in the loop's next turn. `options` and its strings are copied. */
struct database *database_new(struct event_loop *loop, const struct database_options *options);

/* Legal inside any callback. Pending statements are dropped without a callback. NULL is legal. */
void database_free(struct database *database);
bool database_up(const struct database *database);

enum database_status {
    DATABASE_OK,
    DATABASE_UNAVAILABLE, /* connection lost, not made, or no answer in time: it may or may not have
                             happened, but for `unexecuted` */
    DATABASE_FAILED,      /* the server refused the statement: sqlstate */
};

struct database_answer {
    enum database_status status;
    bool unexecuted;        /* DATABASE_UNAVAILABLE: it certainly has not happened */
    const PGresult *result; /* DATABASE_OK: rows; lives during the callback */
    char sqlstate[6];       /* DATABASE_FAILED */
    bool by_constraint;     /* DATABASE_FAILED: a constraint refused it, which the server named */
    char message[200];      /* one printable line, without row values */
};

/* DATABASE_FAILED: for a reason that passes, such as a lock, a limit, a shutdown, a deadlock or a
 * server that has become a standby. The same statement may succeed in a moment. */
bool database_failure_passes(const struct database_answer *answer);

typedef void database_done_fn(void *arg, const struct database_answer *answer);

struct database_parameters {
    int count;
    const Oid *types; /* NULL: inferred */
    const char *const *values;
    const int *lengths; /* of binary values */
    const int *formats; /* 0 text, 1 binary; NULL: all text */
};

/* Send one statement in an implicit transaction of its own (a Sync follows each). `sql` is a string
 * that lives for ever: it is prepared once per connection and recognised by its address, unless a
 * pooler is between. Parameters are copied. Returns 0, or -1 when not connected or max_in_flight is
 * reached. The callback comes exactly once, from the loop; DATABASE_OK means committed (unless the
 * statement stands between BEGIN and COMMIT). */
int database_send(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* For --check: connect, and look whether this project works with the server and what is before it,
 * without installing anything. Blocks for the connect_timeout (5 s unless the DSN sets one) for
 * each address of each host, while the name service is silent, and then for three times 5 s at
 * most. */
int database_reach(const char *dsn, struct error *err) __attribute__((warn_unused_result));

/* Is it a DSN that libpq can parse? For config_option.validate. */
int database_dsn_validate(const char *dsn, struct error *err) __attribute__((warn_unused_result));

#endif
