/* One attempt of a link to connect, on a thread of its own, which may outlive the link. */
#ifndef CLIENTS_RABBITMQ_LINK_ATTEMPT_H
#define CLIENTS_RABBITMQ_LINK_ATTEMPT_H

#include "services/clients/rabbitmq/link.h"

struct link_attempt {
    struct broker_options broker; /* the strings of these are the attempt's own */
    const char *queue, *third_queue;
    enum queue_type queue_type;
    bool confirms, consumes;
    struct broker_connection connection; /* the result; not connected: it failed */
    struct queue_differences differences;
    struct error err;
};

/* Copies what it needs. */
struct link_attempt *link_attempt_new(const struct broker_link_options *options);

/* For background_call: both take a struct link_attempt. Freeing it disconnects, unless the
 * connection was taken (`connection.amqp` set to NULL). */
void link_attempt_run(void *attempt);
void link_attempt_free(void *attempt);

#endif
