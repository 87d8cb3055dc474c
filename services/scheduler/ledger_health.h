/* How the sales ledger is, for operators: health's check "sales_ledger", and its metrics. */
#ifndef SCHEDULER_LEDGER_HEALTH_H
#define SCHEDULER_LEDGER_HEALTH_H

#include "proto/error.h"
#include "services/clients/postgres/sales_ledger.h"

/* That something went past the triggers is told for so long, though it is mended. */
#define LEDGER_HEALTH_TELLS_US (INT64_C(24) * 3600 * 1000000)

struct ledger_health;

struct ledger_health *ledger_health_new(void);
void ledger_health_free(struct ledger_health *health); /* NULL is legal */

/* The ledger was looked at. */
void ledger_health_tell(struct ledger_health *health, const struct sales_ledger_look *look);

/* Is something wrong with the ledger at this instant (timestamp.h), or was a day ago? Then
 * *ret_reason says what. */
bool ledger_health_wrong(const struct sales_ledger_look *look, int64_t now_us,
                         struct error *ret_reason) __attribute__((warn_unused_result));

#endif
