/* system_status for all loops: one collector, on one of them, answers the questions of all. */
#ifndef GATEWAY_ADAPTERS_SHARED_STATUS_H
#define GATEWAY_ADAPTERS_SHARED_STATUS_H

#include "services/gateway/adapters/status_collector.h"
#include <h2o.h>

/* What the loops share. Freed after all that is made of it. */
struct status_desk;
struct status_desk *status_desk_new(void);
void status_desk_free(struct status_desk *desk); /* NULL is legal */

/* Put the collector, which stays the caller's, at the desk, before any thread starts; `queue` is
 * that of its loop. status_desk_leave() is for when all loops have ended. */
void status_desk_attend(struct status_desk *desk, struct status_collector *collector,
                        h2o_multithread_queue_t *queue);
void status_desk_leave(struct status_desk *desk);

struct system_status *shared_status_new(struct status_desk *desk, h2o_multithread_queue_t *queue);
void shared_status_free(struct system_status *status); /* NULL is legal */

#endif
