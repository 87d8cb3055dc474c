/* One AMQP 0-9-1 connection with one channel (1), on librabbitmq: blocking, within limits. One
 * channel only, because librabbitmq loses queued frames of the others when it reads a message. */
#ifndef CLIENTS_RABBITMQ_CONNECTION_H
#define CLIENTS_RABBITMQ_CONNECTION_H

#include "proto/error.h"
#include "services/clients/rabbitmq/amqp.h"
#include <stdbool.h>
#include <stdint.h>

#define BROKER_CHANNEL 1
#define BROKER_HEARTBEAT_S 10
#define BROKER_SETUP_TIMEOUT_MS 5000 /* each function below that talks to the broker, in all */
/* TCP_USER_TIMEOUT: how long the peer's kernel may take nothing of what was sent. */
#define BROKER_USER_TIMEOUT_MS 20000

struct broker_options {
    const char *url;     /* RABBITMQ_URL: one server or a list (amqp_url.h) */
    const char *ca_file; /* for amqps, or NULL: the system's certificate authorities */
    const char *name;    /* connection_name, shown in RabbitMQ's management: "gateway publisher" */
    unsigned server;     /* which server of the list, modulo its length */
};

struct broker_connection {
    amqp_connection_state_t amqp; /* NULL: not connected */
    int fd;
    bool tls;
    unsigned server_major; /* RabbitMQ's major version from the server properties; 0 when it does
                              not say */
};

/* Connect to one server, log in (announcing connection.blocked, consumer_cancel_notify,
 * publisher_confirms, basic.nack; heartbeat 10 s) and open the channel. Of a name's addresses each
 * is tried in turn. With amqps the peer's certificate must be for the host of the URL. Blocks at
 * most 5 s (half of that when the list has another server), and for as long as the system resolver
 * takes. Returns 0, or -1 with `err` set (never with credentials in it). */
int broker_connect(const struct broker_options *options, struct broker_connection *ret_connection,
                   struct error *err) __attribute__((warn_unused_result));

/* Close the socket and free all, without talking to the broker (`politely`: close handshake, at
 * most 1 s). Nothing happens when it is not connected; it is not connected afterwards. */
void broker_disconnect(struct broker_connection *connection, bool politely);

#define BROKER_LARGE_FRAME_BYTES (1280u << 10) /* with 1 MiB of headers */

/* From now on take frames of up to BROKER_LARGE_FRAME_BYTES; for a connection that publishes
 * nothing. A content header is one frame, however large. RabbitMQ adds headers of its own (x-death,
 * x-delivery-count) to what a publisher could just send, and then sends more than was agreed on;
 * librabbitmq would end the connection, again at each delivery. */
int broker_take_large_frames(struct broker_connection *connection, struct error *err)
    __attribute__((warn_unused_result));

/* Turn a librabbitmq reply into an error: "<doing>: <why>". Returns 0 when it is a normal reply,
 * else -1. `err` may be NULL. */
int broker_check(amqp_rpc_reply_t reply, const char *doing, struct error *err);

/* The words and the reply code of a channel.close or connection.close: "channel closed by the
 * broker: 404 NOT_FOUND - …". Of any other method 0. `err` may be NULL. */
unsigned broker_closed(const amqp_method_t *method, struct error *err);

/* The AMQP reply code (AMQP 0-9-1, 1.2 "reply-code") with which the broker closed the channel or
 * the connection in this reply; 0 when it did not. ACCESS_REFUSED 403, NOT_FOUND 404,
 * PRECONDITION_FAILED 406 … */
unsigned broker_reply_code(amqp_rpc_reply_t reply);

/* Give the next blocking calls on this connection until `deadline_ms` (on clock_monotonic_ms()). */
void broker_set_deadline(struct broker_connection *connection, int64_t deadline_ms);

/* After the broker has closed the channel: agree, and open it again. Blocks until the deadline. */
int broker_reopen_channel(struct broker_connection *connection, struct error *err)
    __attribute__((warn_unused_result));

/* For --check: connect to the first server of the list that answers, and disconnect. Returns 0 with
 * the server's name in `err`, or -1 with the reason of each. Blocks as broker_connect() does. */
int broker_reach(const struct broker_options *options, struct error *err)
    __attribute__((warn_unused_result));

#endif
