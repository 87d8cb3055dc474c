/* Brings results from the publisher's thread to the thread of an event loop. A publisher may serve
 * many mailboxes; a mailbox belongs to one loop. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_MAILBOX_H
#define CLIENTS_RABBITMQ_PUBLISH_MAILBOX_H

#include "services/clients/rabbitmq/publisher.h"
#include "services/loop/event_loop.h"

struct publish_receiver {
    /* On the loop's thread, in the order in which the results came. The request is the receiver's
     * again: it frees it. */
    void (*on_result)(void *arg, struct publish_request *request, enum publish_result result);
    void (*on_turn)(void *arg); /* after each batch of results, or NULL */
    /* Free a request whose result is not handed over any more. */
    void (*discard)(struct publish_request *request);
    void *arg;
};

struct publish_mailbox;

struct publish_mailbox *publish_mailbox_new(struct event_loop *loop,
                                            const struct publish_receiver *receiver);

/* After the publisher was freed, which answers all that is under way. Results that the loop has not
 * taken are discarded. */
void publish_mailbox_free(struct publish_mailbox *mailbox);

/* The on_result of a request that has a mailbox. Any thread; never blocks. */
void publish_mailbox_post(struct publish_request *request, enum publish_result result);

#endif
