/* Making a connection ready to use without waiting for it: name resolution, connecting, TLS, login
 * and declarations block, so an attempt runs on a thread of its own. */
#ifndef CLIENTS_RABBITMQ_CONNECTION_ATTEMPT_H
#define CLIENTS_RABBITMQ_CONNECTION_ATTEMPT_H

#include "services/clients/rabbitmq/queue_declaration.h"

struct connection_attempt;

/* Start connecting, declaring `queue` (queue_declare()) and, with `confirms`, confirm.select.
 * Copies what it is given. Never blocks. Returns NULL with `err` set when there is no descriptor or
 * thread to be had. */
struct connection_attempt *connection_attempt_start(const struct broker_options *options,
                                                    const char *queue, enum queue_type type,
                                                    bool confirms, struct error *err)
    __attribute__((warn_unused_result));

/* Becomes readable when the attempt has ended; it belongs to the attempt. */
int connection_attempt_fd(const struct connection_attempt *attempt);

/* After the descriptor became readable (before, it blocks). Frees the attempt. Returns 0 and the
 * connection, or -1 with `err` set. */
int connection_attempt_finish(struct connection_attempt *attempt,
                              struct broker_connection *ret_connection, bool *ret_differs,
                              struct error *err) __attribute__((warn_unused_result));

/* No longer interested, at any time: it ends and frees itself. Never blocks. NULL is legal. */
void connection_attempt_abandon(struct connection_attempt *attempt);

#endif
