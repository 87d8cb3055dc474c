/* Messages gathered as frames, which leave in one write. Not over TLS: librabbitmq keeps that to
 * itself. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_BATCH_H
#define CLIENTS_RABBITMQ_PUBLISH_BATCH_H

#include "services/clients/rabbitmq/publish_message.h"
#include <stddef.h>

struct broker_connection;

/* So little that a writable socket takes it at once. */
#define PUBLISH_BATCH_BYTES (16 * 1024)

struct publish_batch {
    size_t len;
    unsigned char bytes[PUBLISH_BATCH_BYTES];
};

/* Add a message. Returns false when there is no room for it, or when it goes by publish_message()
 * alone: over TLS, or larger than a whole batch or a frame. */
bool publish_batch_add(struct publish_batch *batch, const struct broker_connection *connection,
                       const struct publish_request *request) __attribute__((warn_unused_result));

/* Write all, and empty the batch. It blocks as publish_message() does, and returns the same. */
int publish_batch_write(struct publish_batch *batch, const struct broker_connection *connection)
    __attribute__((warn_unused_result));

#endif
