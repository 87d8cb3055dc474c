/* Takes requests from any thread to the thread of an event loop: new ones to the publisher, and
 * answered ones back to the loop that submitted them. A mailbox belongs to one loop. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_MAILBOX_H
#define CLIENTS_RABBITMQ_PUBLISH_MAILBOX_H

#include "services/clients/rabbitmq/publisher.h"
#include "services/loop/event_loop.h"

struct publish_receiver {
    /* On the loop's thread, in the order in which the requests came. The request is the receiver's
     * now. `result`: what publish_mailbox_post() was given. */
    void (*on_result)(void *arg, struct publish_request *request, enum publish_result result);
    void (*on_turn)(void *arg); /* after each batch of requests, and each wake, or NULL */
    /* Free a request that is not handed over any more. NULL: there is none. */
    void (*discard)(struct publish_request *request);
    void *arg;
};

struct publish_mailbox;

struct publish_mailbox *publish_mailbox_new(struct event_loop *loop,
                                            const struct publish_receiver *receiver);

/* When nobody puts requests in any more: of a mailbox for results after the publisher was freed,
 * which answers all that is under way. Requests that the loop has not taken are discarded. */
void publish_mailbox_free(struct publish_mailbox *mailbox);

/* Any thread; these never block. The loop takes what was put in when it is woken. post() is for the
 * on_result of a request that has a mailbox, and wakes. */
void publish_mailbox_put(struct publish_mailbox *mailbox, struct publish_request *request);
void publish_mailbox_post(struct publish_request *request, enum publish_result result);
void publish_mailbox_wake(struct publish_mailbox *mailbox);

/* Hand over what has come, now, without on_turn(). The loop's thread. */
void publish_mailbox_collect(struct publish_mailbox *mailbox);

#endif
