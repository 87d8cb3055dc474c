/* daily_sales_mv: revenue by UTC day. */
#ifndef CLIENTS_POSTGRES_SALES_VIEW_H
#define CLIENTS_POSTGRES_SALES_VIEW_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/sales_day.h"

typedef void sales_read_fn(void *arg, const struct sales_day *days, size_t count,
                           const struct database_answer *answer);

/* The newest days first, at most SALES_DAYS_MAX; none when the view was never filled. */
int sales_view_read(struct database *database, sales_read_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* The same of sales_ledger: exact to the last commit, without a refresh. DATABASE_FAILED with
 * SALES_UNFINISHED until the ledger has all orders, and with SALES_IMPOSSIBLE when there can be
 * none here, as the scheduler found; then the message says why. */
#define SALES_UNFINISHED "55000"
#define SALES_IMPOSSIBLE "0A000"
int sales_view_read_live(struct database *database, sales_read_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

enum refresh_result {
    REFRESH_DONE,
    REFRESH_LOCKED,       /* another scheduler is refreshing now */
    REFRESH_ALREADY_DONE, /* nothing was refreshed: the history has this tick already */
    REFRESH_FAILED,       /* see answer */
};
typedef void sales_refreshed_fn(void *arg, enum refresh_result result,
                                const struct database_answer *answer);

/* Fold the ledger, then refresh in one transaction: advisory lock tried, REFRESH … CONCURRENTLY
 * (plain for a never-filled view), the tick's row in the history. `tick_us` is the scheduled
 * instant, or 0 for a manual refresh. The connection should have a statement timeout of 5 minutes
 * and serve nothing else. */
int sales_view_refresh(struct database *database, int64_t tick_us, sales_refreshed_fn *on_done,
                       void *arg) __attribute__((warn_unused_result));

#endif
