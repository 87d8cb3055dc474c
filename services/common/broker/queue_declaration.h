/* The one place that declares the order queue and its dead-letter queue, for gateway and bridge
 * alike. */
#ifndef BROKER_QUEUE_DECLARATION_H
#define BROKER_QUEUE_DECLARATION_H

#include "services/common/broker/connection.h"

enum queue_type { QUEUE_QUORUM, QUEUE_CLASSIC };

#define QUEUE_NAME_SIZE 256

/* Declare `queue` and `queue`.dead, passively first: one that exists with another type wins
 * (*ret_differs is set, for a warning). Opens channel 1 again when the broker closed it. Blocks at
 * most 5 s. Returns 0, or -1 with `err` set. */
int queue_declare(struct broker_connection *connection, const char *queue, enum queue_type type,
                  bool *ret_differs, struct error *err) __attribute__((warn_unused_result));

/* "order_queue.dead" */
void dead_letter_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE]);

#endif
