/* Keeps the sales ledger (clients/postgres/sales_ledger.h): makes it step by step, folds it each
 * minute, makes again what somebody has dropped, and mends it where it is wrong. Health's check
 * "sales_ledger" is of this part (ledger_health.h). */
#ifndef SCHEDULER_LEDGER_TASK_H
#define SCHEDULER_LEDGER_TASK_H

#include "services/clients/postgres/sales_ledger.h"
#include "services/loop/event_loop.h"

struct ledger_task;

/* On a connection of its own. `dsn` is copied. */
struct ledger_task *ledger_task_new(struct event_loop *loop, const char *dsn);
/* What is under way is rolled back by the server, and begun again by the next scheduler. NULL is
 * legal. */
void ledger_task_free(struct ledger_task *task);

/* Look now whether all is in place: the view is about to be refreshed. */
void ledger_task_wake(struct ledger_task *task);

/* `drift` is NULL when there is no ledger to compare with. */
typedef void ledger_verified_fn(void *arg, const struct sales_ledger_drift *drift);

/* Compare the ledger with the orders of the UTC days from one instant to another, as
 * sales_ledger_mend(), and mend it. One at a time. The callback comes from the loop. */
void ledger_task_verify(struct ledger_task *task, int64_t from_us, int64_t to_us,
                        ledger_verified_fn *on_done, void *arg);
/* The callback is not to come any more. Nothing when none is awaited. */
void ledger_task_forget(struct ledger_task *task);

#endif
