/* When dead letters are taken out of a queue, and the words when they are not. Pure. */
#ifndef SCHEDULER_ARCHIVE_POLICY_H
#define SCHEDULER_ARCHIVE_POLICY_H

#include "proto/error.h"
#include <stdbool.h>
#include <stdint.h>

/* How a dead-letter queue and what is around it stand. */
struct archive_standing {
    const char *queue; /* the order queue's name */
    bool rabbitmq_up, postgres_up;
    const char *rabbitmq_reason; /* why not; "": not tried yet */
    const char *refused;         /* what PostgreSQL refuses; NULL: nothing */
    bool delivery_limited;       /* as queue_difference.delivery_limited */
    bool limit_unseen;           /* RabbitMQ 4 or later, which does not tell this user */
    bool unlimited;              /* the operator says that a policy lifts the limit */
    int64_t bytes, max_bytes;
    bool counted;                   /* the two numbers below are known */
    unsigned consumers, schedulers; /* of the queue: all, and those that are schedulers */
};

enum archive_fault {
    ARCHIVE_WELL,      /* consume */
    ARCHIVE_UNCOUNTED, /* wait for the numbers of consumers, without a word */
    ARCHIVE_NO_POSTGRES,
    ARCHIVE_NO_RABBITMQ,
    ARCHIVE_REFUSED,
    ARCHIVE_DELIVERY_LIMIT,
    ARCHIVE_FULL,
    ARCHIVE_FOREIGN_CONSUMER,
};
#define ARCHIVE_FAULTS (ARCHIVE_FOREIGN_CONSUMER + 1)

enum archive_fault archive_judge(const struct archive_standing *standing);

/* For metrics: "no_rabbitmq", …; NULL for ARCHIVE_WELL and ARCHIVE_UNCOUNTED. */
const char *archive_fault_name(enum archive_fault fault);

/* Why the letters of this queue stay where they are. */
void archive_fault_tell(enum archive_fault fault, const struct archive_standing *standing,
                        struct error *ret_words);

#endif
