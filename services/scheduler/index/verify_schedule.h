/* Asks for verifications of the search index by their schedules: of the orders of the last days,
 * and of all. Each tick is done once, by the first scheduler that comes to it; of ticks that were
 * missed the latest is done at the start. */
#ifndef SCHEDULER_INDEX_VERIFY_SCHEDULE_H
#define SCHEDULER_INDEX_VERIFY_SCHEDULE_H

#include "services/clients/postgres/connection.h"
#include "services/scheduler/cron.h"
#include <stdbool.h>

struct verify_schedule;

/* NULL: by no schedule. `repair`: what they find is mended within limits. Copies. */
struct verify_schedule *verify_schedule_new(const struct cron *recent, const struct cron *all,
                                            bool repair);
/* After database_free() of the connection that it was given. NULL is legal. */
void verify_schedule_free(struct verify_schedule *schedule);

/* Ask for what is due; call it every second or so while the connection is up. */
void verify_schedule_turn(struct verify_schedule *schedule, struct database *database);

#endif
