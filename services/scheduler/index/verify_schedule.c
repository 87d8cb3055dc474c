/* A plan for each of the two schedules (refresh_plan.h), one question to PostgreSQL at a time. When
 * both are due, that of all orders comes first: it serves the other one, too. */
#include "services/scheduler/index/verify_schedule.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/search_index_watch.h"
#include "services/scheduler/refresh_plan.h"
#include <stdlib.h>

enum { OF_ALL, OF_RECENT, SCHEDULES };

struct verify_schedule {
    struct refresh_plan plans[SCHEDULES];
    bool used[SCHEDULES];
    bool repair;
    bool asking;
    size_t asked; /* which of them */
};

struct verify_schedule *verify_schedule_new(const struct cron *recent, const struct cron *all,
                                            bool repair)
{
    struct verify_schedule *schedule = memory_new(sizeof *schedule);
    const struct cron *const crons[] = {[OF_ALL] = all, [OF_RECENT] = recent};
    schedule->repair = repair;
    for (size_t i = 0; i < SCHEDULES; i++) {
        schedule->used[i] = crons[i] != NULL;
        if (crons[i] != NULL)
            refresh_plan_init(&schedule->plans[i], crons[i], timestamp_now_us());
    }
    return schedule;
}

void verify_schedule_free(struct verify_schedule *schedule)
{
    free(schedule);
}

static void on_asked(void *arg, const struct database_answer *answer)
{
    static struct log_limit limit;
    struct verify_schedule *schedule = arg;
    schedule->asking = false;
    refresh_plan_end(&schedule->plans[schedule->asked],
                     answer->status == DATABASE_OK ? REFRESH_DONE : REFRESH_FAILED,
                     clock_monotonic_ms(), arc4random());
    if (answer->status == DATABASE_FAILED)
        log_limited(&limit, LOG_LEVEL_ERROR, "PostgreSQL refused to take a verification",
                    (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                               log_text("reason", answer->message),
                                               {0}});
    if (database_number(answer) == 1)
        log_info("a verification of the search index is due",
                 log_text("orders", schedule->asked == OF_ALL ? "all" : "of the last days"));
}

void verify_schedule_turn(struct verify_schedule *schedule, struct database *database)
{
    for (size_t i = 0; i < SCHEDULES && !schedule->asking; i++) {
        struct refresh_plan *plan = &schedule->plans[i];
        int64_t tick_us;
        if (!schedule->used[i])
            continue;
        (void)refresh_plan_see_clock(plan, timestamp_now_us()); /* told by the other schedule */
        if (!refresh_plan_begin(plan, false, clock_monotonic_ms(), &tick_us))
            continue;
        schedule->asked = i;
        schedule->asking = search_index_verify(database, i == OF_ALL, tick_us, schedule->repair,
                                               on_asked, schedule) == 0;
        if (!schedule->asking)
            refresh_plan_end(plan, REFRESH_FAILED, clock_monotonic_ms(), arc4random());
    }
}
