/* One AMQP 0-9-1 connection with one channel (1), made blocking within limits. */
#ifndef BROKER_CONNECTION_H
#define BROKER_CONNECTION_H

#include "proto/error.h"
#include <amqp.h>
#include <stdbool.h>

struct broker_options {
    const char *url;     /* amqp[s]://… */
    const char *ca_file; /* for amqps, or NULL */
    const char *name;    /* connection_name, shown in RabbitMQ's management: "gateway publisher" */
};

struct broker_connection {
    amqp_connection_state_t amqp;
    int fd;
    unsigned server_major; /* RabbitMQ's major version from the server properties; 0 when it does
                              not say */
};

/* Connect, log in (announcing connection.blocked, consumer_cancel_notify, publisher_confirms,
 * basic.nack; heartbeat 10 s) and open channel 1. Blocks at most 5 s. Returns 0, or -1 with `err`
 * set (never with credentials in it). */
int broker_connect(const struct broker_options *options, struct broker_connection *ret_connection,
                   struct error *err) __attribute__((warn_unused_result));

/* Close the socket and free all, without talking to the broker (`politely`: close handshake, at
 * most 1 s). */
void broker_disconnect(struct broker_connection *connection, bool politely);

/* Turn a librabbitmq reply into an error. Returns 0 when it is a normal reply, else -1. */
int broker_check(amqp_rpc_reply_t reply, const char *doing, struct error *err);

/* For --check. */
int broker_reach(const struct broker_options *options, struct error *err)
    __attribute__((warn_unused_result));
int broker_url_validate(const char *url, struct error *err) __attribute__((warn_unused_result));

#endif
