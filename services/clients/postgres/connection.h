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

/* What is done over a connection. When it is opened, the schema is installed or upgraded if what
 * the uses need is missing, and it is not up unless all of that is fit for them: the form of the
 * tables and the rights of the role. The same numbers are in schema_check.sql. */
enum database_use {
    DATABASE_FINDS = 1,      /* orders_find() */
    DATABASE_INSERTS = 2,    /* orders_insert_send() */
    DATABASE_OUTBOX = 4,     /* outbox.h; with DATABASE_INSERTS for orders_insert_bulk() */
    DATABASE_SALES = 8,      /* sales_view_read() */
    DATABASE_JOBS = 16,      /* jobs.h, a gateway's side */
    DATABASE_SCHEDULES = 32, /* sales_view_refresh() and jobs.h, a scheduler's side */
    DATABASE_ARCHIVES = 64,  /* dead letters and the jobs about them, a scheduler's side */
    DATABASE_LETTERS = 128   /* dead letters, a gateway's side */
};

struct database_options {
    const char *dsn;              /* libpq keywords or URI */
    const char *application_name; /* "gateway", for pg_stat_activity */
    unsigned max_in_flight;       /* statements sent and not answered; more are refused */
    int64_t statement_timeout_ms; /* > 0; enforced in the server, and here a little later */
    int64_t lock_timeout_ms;      /* 0 = none */
    unsigned uses;                /* bits of enum database_use; 0: the schema is left alone */
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
unsigned database_uses(const struct database *database);

/* The connection is not fit for its uses, for this reason: end it, and open it anew; nothing when
 * it is not up. Statements under way are answered as after a loss. */
void database_reopen(struct database *database, const char *reason);

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

/* The first value of an answer in text, a number; 0 when the statement failed or has no row. */
int64_t database_number(const struct database_answer *answer);

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
 * and whether the schema is fit for these uses or can be installed, without installing anything.
 * Blocks for the connect_timeout (5 s unless the DSN sets one) for each address of each host, while
 * the name service is silent, and then for five times 5 s at most. */
int database_reach(const char *dsn, unsigned uses, struct error *err)
    __attribute__((warn_unused_result));

/* Is it a DSN that libpq can parse? For config_option.validate. */
int database_dsn_validate(const char *dsn, struct error *err) __attribute__((warn_unused_result));

#endif
