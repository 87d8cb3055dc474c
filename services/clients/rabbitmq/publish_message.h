/* A message on its way to the broker, and on its way back when it is unroutable. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_MESSAGE_H
#define CLIENTS_RABBITMQ_PUBLISH_MESSAGE_H

#include "proto/error.h"
#include "services/clients/rabbitmq/amqp.h"
#include <stdbool.h>
#include <stdint.h>

struct publish_request;

/* The method and the properties of a message: persistent and mandatory, on the default exchange.
 * What they point to is the request's. */
amqp_basic_publish_t publish_method(const struct publish_request *request);
amqp_basic_properties_t publish_properties(const struct publish_request *request);

/* Publish it. It blocks when the socket takes less than the whole
 * message; a message far over the socket's buffer can block even when the socket is writable, until
 * the kernel gives the connection up (20 s). Returns a status of librabbitmq; when that is not
 * AMQP_STATUS_OK the connection is broken, and the message may have been sent. */
int publish_message(amqp_connection_state_t amqp, const struct publish_request *request)
    __attribute__((warn_unused_result));

#define RETURNED_NAME_SIZE 256 /* AMQP's short strings */

/* Reads what is returned: basic.return, a content header, body frames (AMQP 0-9-1, 4.2.6).
 * librabbitmq's own reader waits for the rest without a deadline. */
struct returned_message {
    enum { RETURN_NONE, RETURN_HEADER, RETURN_BODY } state; /* what comes next */
    uint64_t body_left;
    size_t message_id_len, routing_key_len;
    char message_id[RETURNED_NAME_SIZE], routing_key[RETURNED_NAME_SIZE];
};

/* A frame of the channel has come: basic.return begins a message, the content follows. Returns 0,
 * with *ret_complete set when this was the last of its frames, or -1 with `err` set when it was not
 * the frame's turn. */
int returned_message_add(struct returned_message *message, const amqp_frame_t *frame,
                         bool *ret_complete, struct error *err) __attribute__((warn_unused_result));

/* Whether its routing key is this queue. */
bool returned_message_is_for(const struct returned_message *message, const char *queue);

#endif
