/* While triggers are missing, and for a day after something went past them, the scheduler is
 * degraded: the sums are right again, but somebody has to see what changes orders that way. It is
 * what PostgreSQL knows, so every scheduler tells the same, also after a restart. */
#include "services/scheduler/ledger_health.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/runtime/health.h"
#include <inttypes.h>
#include <stdlib.h>

struct ledger_health {
    struct health_check *check;
    struct metric_gauge *in_use, *triggers_lost, *triggers_lost_at, *drift_at;
};

struct ledger_health *ledger_health_new(void)
{
    struct ledger_health *health = memory_new(sizeof *health);
    *health = (struct ledger_health){
        .check = health_check("sales_ledger", HEALTH_DEGRADED),
        .in_use = metric_gauge("sales_ledger_in_use", NULL,
                               "1: the daily sales are read from the ledger"),
        .triggers_lost = metric_gauge("sales_ledger_triggers_lost", NULL,
                                      "Triggers of the ledger that are missing or disabled now"),
        .triggers_lost_at = metric_gauge("sales_ledger_triggers_lost_timestamp_seconds", NULL,
                                         "When such triggers were last made again, 0: never"),
        .drift_at = metric_gauge("sales_ledger_drift_timestamp_seconds", NULL,
                                 "When the ledger was last found wrong, and mended, 0: never"),
    };
    /* Nothing wrong is known yet. PostgreSQL has a check of its own. */
    (void)health_set(health->check, true, NULL);
    return health;
}

void ledger_health_free(struct ledger_health *health)
{
    free(health);
}

static bool is_recent(int64_t at_us, int64_t now_us)
{
    return at_us != 0 && now_us - at_us < LEDGER_HEALTH_TELLS_US;
}

bool ledger_health_wrong(const struct sales_ledger_look *look, int64_t now_us,
                         struct error *ret_reason)
{
    char at[TIMESTAMP_TEXT_SIZE];
    if (look->lost > 0) {
        error_set(ret_reason,
                  "of its 4 triggers on orders, %" PRId64 " %s missing or disabled: what is "
                  "written goes past it",
                  look->lost, look->lost == 1 ? "is" : "are");
    } else if (is_recent(look->drift_at_us, now_us)) {
        (void)timestamp_format(look->drift_at_us, at);
        error_set(ret_reason,
                  "it was wrong on %" PRId64 " day%s, by %" PRId64
                  " order%s, and was mended at %s: "
                  "something changed orders past its triggers",
                  look->drift_days, look->drift_days == 1 ? "" : "s", look->drift_orders,
                  look->drift_orders == 1 ? "" : "s", at);
    } else if (is_recent(look->lost_at_us, now_us)) {
        (void)timestamp_format(look->lost_at_us, at);
        error_set(ret_reason, "triggers on orders were missing or disabled until %s", at);
    } else {
        return false;
    }
    return true;
}

void ledger_health_tell(struct ledger_health *health, const struct sales_ledger_look *look)
{
    struct error reason;
    bool wrong = ledger_health_wrong(look, timestamp_now_us(), &reason);
    (void)health_set(health->check, !wrong, wrong ? reason.message : NULL); /* the task logs */
    metric_set(health->in_use, look->next == SALES_LEDGER_DONE && look->reason == NULL);
    metric_set(health->triggers_lost, (double)look->lost);
    metric_set(health->triggers_lost_at, (double)look->lost_at_us / 1e6);
    metric_set(health->drift_at, (double)look->drift_at_us / 1e6);
}
