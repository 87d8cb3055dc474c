/* Brings bulk orders from the outbox to the queue: batch after batch is taken under a lease,
 * published, confirmed and deleted, on one loop and a database connection of its own. Several
 * gateways may do so at once. */
#ifndef GATEWAY_OUTBOX_TASK_H
#define GATEWAY_OUTBOX_TASK_H

#include "services/clients/postgres/outbox.h"
#include "services/gateway/ports/order_queue.h"
#include "services/loop/event_loop.h"

struct outbox_task;

struct outbox_task_options {
    struct database_options database; /* of the task's own connection */
    struct order_queue *queue;        /* this loop's */
    int wake_fd;                      /* an eventfd that any thread writes to after rows were
                                         committed; else they are looked for every second, and
                                         more often after there were some */
};

/* What the options point to stays the caller's and must outlive the task. Registers metrics. */
struct outbox_task *outbox_task_new(struct event_loop *events,
                                    const struct outbox_task_options *options);

/* At any time, but the queue may not answer any more. The lease of an unfinished batch ends, and a
 * gateway relays the batch again: duplicates are harmless. */
void outbox_task_free(struct outbox_task *task);

#endif
