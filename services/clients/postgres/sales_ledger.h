/* sales_ledger: revenue by UTC day without reading all orders. Each statement that changes orders
 * appends what it changed to the ledger, by statement triggers; a day's total is the sum of its
 * rows. Nobody updates a row, so writers never wait for each other because of it.
 *
 * All rests on one law. Once the triggers are there, a transaction changes orders and ledger alike.
 * So the drift, sum(orders) - sum(ledger) by day and read in one snapshot, is changed by nothing
 * that writers do: it is what was there before the triggers, and what went past them. Adding it to
 * the ledger is the back-fill, and later the repair; it needs no lock against writers, and done
 * again it adds nothing.
 *
 * The schema makes the tables. What is left is done in transactions of their own, each of which
 * changes nothing when it is done again: the triggers, the back-fill, the view over the ledger. */
#ifndef CLIENTS_POSTGRES_SALES_LEDGER_H
#define CLIENTS_POSTGRES_SALES_LEDGER_H

#include "services/clients/postgres/connection.h"

enum sales_ledger_next {
    SALES_LEDGER_WAIT,     /* a table or the view is missing: the schema is not installed */
    SALES_LEDGER_CANNOT,   /* orders is no table for it, or a privilege is missing */
    SALES_LEDGER_TRIGGERS, /* sales_ledger_install(): one is missing, or disabled */
    SALES_LEDGER_FILL,     /* sales_ledger_mend(), without bounds */
    SALES_LEDGER_VIEW,     /* sales_ledger_replace_view(): it reads all orders */
    SALES_LEDGER_DONE,
};

/* Ask what has to be done next. Returns 0 or -1 as database_send(). */
int sales_ledger_look(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Instants are microseconds since 1970, 0: never. */
struct sales_ledger_look {
    enum sales_ledger_next next;
    const char *reason; /* why the view goes on reading all orders (SALES_LEDGER_CANNOT,
                         * SALES_LEDGER_DONE), or NULL; lives as long as the answer */
    bool untold;        /* sales_ledger_tell() is to be called: others know an older obstacle */
    int64_t lost;       /* triggers of a ledger that was filled: missing or disabled now */
    int64_t lost_at_us; /* when such were last made again */
    int64_t drift_at_us, drift_days, drift_orders; /* when it was last found wrong, and mended */
};

/* The answer to it, which is DATABASE_OK. */
void sales_ledger_looked(const struct database_answer *answer, struct sales_ledger_look *ret_look);

/* Write down why there can be no ledger here, for those who read it; NULL: there can. Returns 0 or
 * -1 as database_send(). */
int sales_ledger_tell(struct database *database, const char *obstacle, database_done_fn *on_done,
                      void *arg) __attribute__((warn_unused_result));

/* What follows is a transaction of several statements each: the connection serves nothing else
 * meanwhile, and has a statement timeout that is long enough to read all orders. */

/* Make the triggers, or replace the view. Gives up after `lock_timeout_ms` (55P03): while a lock is
 * waited for, all writers of orders, or readers of the view, wait too. A timeout above
 * deadlock_timeout (1 s) has an autovacuum of orders give way. Returns 0 or -1 as database_send().
 */
int sales_ledger_install(struct database *database, int64_t lock_timeout_ms,
                         database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
int sales_ledger_replace_view(struct database *database, int64_t lock_timeout_ms,
                              database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* What the ledger lacked. */
struct sales_ledger_drift {
    int64_t days, orders; /* an order too much counts as one too few does */
    bool filled;          /* it was filled before: something has gone past the triggers */
};
typedef void sales_ledger_mended_fn(void *arg, const struct sales_ledger_drift *drift,
                                    const struct database_answer *answer);

/* Add the drift to the ledger, of the UTC days that these instants lie in (microseconds since 1970;
 * INT64_MIN and INT64_MAX: of all days, and then the ledger counts as filled). When there is any, a
 * refresh of the view is asked for, too. */
int sales_ledger_mend(struct database *database, int64_t from_us, int64_t to_us,
                      sales_ledger_mended_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Make one row of the rows of each day. One statement; no writer waits. `drop` as in call.h. */
int sales_ledger_fold(struct database *database, database_done_fn *on_done, void (*drop)(void *arg),
                      void *arg) __attribute__((warn_unused_result));

#endif
