/* The AMQP side of a publisher: puts messages on a connection in confirm mode and reads what the
 * broker says about them. Never blocks while the socket is writable. One thread. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_CHANNEL_H
#define CLIENTS_RABBITMQ_PUBLISH_CHANNEL_H

#include "services/clients/rabbitmq/connection.h"
#include <stdint.h>

struct publish_request;

enum publish_event_kind {
    PUBLISH_EVENT_NONE,   /* nothing more for now */
    PUBLISH_EVENT_ACK,    /* basic.ack: tag, multiple */
    PUBLISH_EVENT_NACK,   /* basic.nack: tag, multiple */
    PUBLISH_EVENT_RETURN, /* basic.return with its content: message_id, routing_key; the ack of
                             the same message follows */
    PUBLISH_EVENT_QUEUE, /* queue.declare-ok, after queue_ask(): routing_key, messages, consumers */
    PUBLISH_EVENT_BLOCKED, /* connection.blocked: reason. The broker reads nothing more until … */
    PUBLISH_EVENT_UNBLOCKED, /* … connection.unblocked */
    PUBLISH_EVENT_LOST,      /* reason: closed by the broker, or broken */
    PUBLISH_EVENT_GONE,      /* lost, for there is no such queue as queue_ask() asked for: reason */
};

#define PUBLISH_NAME_SIZE 256 /* AMQP's short strings */

struct publish_event {
    enum publish_event_kind kind;
    uint64_t tag; /* 0 with `multiple`: all */
    bool multiple;
    uint32_t messages, consumers;
    size_t message_id_len, routing_key_len;
    char message_id[PUBLISH_NAME_SIZE], routing_key[PUBLISH_NAME_SIZE];
    struct error reason;
};

struct publish_channel {
    struct broker_connection connection;
    /* A return comes in several frames. */
    enum { RETURN_NONE, RETURN_HEADER, RETURN_BODY } returning;
    uint64_t return_body_left;
    struct publish_event returned;
};

/* Takes the connection over. */
void publish_channel_init(struct publish_channel *channel,
                          const struct broker_connection *connection);

/* Publish persistent and mandatory. It blocks when the socket takes less than the whole message:
 * ask poll() for POLLOUT before each; a message far over the socket's buffer can still block, until
 * the kernel gives the connection up (20 s). Returns 0, or -1 with `err` set: then the connection
 * is lost, and the message may have been sent. */
int publish_channel_send(struct publish_channel *channel, const struct publish_request *request,
                         struct error *err) __attribute__((warn_unused_result));

/* What the broker has said, one event a call, until PUBLISH_EVENT_NONE: what librabbitmq has
 * buffered does not make the socket readable. Sends a heartbeat when one is due: call it at least
 * every second. */
void publish_channel_read(struct publish_channel *channel, struct publish_event *ret_event);

#endif
