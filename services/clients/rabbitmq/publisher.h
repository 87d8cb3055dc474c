/* Publishes persistent, mandatory messages with publisher confirms, many outstanding, on a
 * connection and a thread of its own. Connects by itself, again after a loss; what was outstanding
 * then is published again until its deadline. */
#ifndef CLIENTS_RABBITMQ_PUBLISHER_H
#define CLIENTS_RABBITMQ_PUBLISHER_H

#include "services/clients/rabbitmq/publish_result.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct publisher_options {
    struct broker_options broker; /* these strings and `queue` must outlive the publisher */
    const char *queue;            /* declared at each connect, with its dead-letter queue */
    enum queue_type queue_type;
    unsigned window;     /* messages accepted and not answered; more are refused */
    bool watches_queues; /* metrics tell how many messages wait in both queues (queue_watch.h) */
    bool held;           /* see publisher_hold() */
    /* Called from the publisher's thread on each change and each failed attempt to connect: up
     * means connected and not blocked. At first it is down. `reason`: why it is down; when up NULL,
     * or a warning (the queue exists with another type). It must not block. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

/* One message to publish. The caller allocates it (usually inside its own request) and keeps it,
 * and what it points to, unchanged until on_result, which runs on the publisher's thread and must
 * not block. on_result comes exactly once, at most 100 ms after the deadline. */
struct publish_request {
    const char *routing_key; /* queue name, on the default exchange */
    const void *body;
    size_t body_len;
    const char *content_type;
    const char *message_id;      /* or NULL */
    const amqp_table_t *headers; /* or NULL */
    int64_t deadline_ms;         /* on clock_monotonic_ms() */
    void (*on_result)(struct publish_request *request, enum publish_result result);
    struct publish_mailbox *mailbox; /* for publish_mailbox_post() as on_result, else NULL */
    /* The mailbox's own. */
    struct publish_request *next;
    enum publish_result result;
    /* The publisher's own. */
    STAILQ_ENTRY(publish_request) waiting;
    bool sent; /* at least once, on an earlier connection */
};

struct publisher;

/* Starts the thread. Registers metrics: call it before the metrics are first rendered. */
struct publisher *publisher_new(const struct publisher_options *options);

/* Take a request, from any thread; never blocks. Returns 0, or -1 at once when the broker is known
 * to be down or blocked, or the window is full: then no callback comes. Who has submitted calls
 * publisher_wake(), once for all requests of a turn: they leave together. */
int publisher_submit(struct publisher *publisher, struct publish_request *request)
    __attribute__((warn_unused_result));
void publisher_wake(struct publisher *publisher);

/* Whether a request would be taken now. Any thread. */
bool publisher_accepts(const struct publisher *publisher);

/* While it is held, a publisher that is down does not try to connect. Any thread. */
void publisher_hold(struct publisher *publisher, bool held);

/* Stop taking, wait for outstanding confirms at most `drain_ms`, answer the rest (sent ones
 * UNKNOWN, others REFUSED), end the thread, free. Nobody may submit any more. */
void publisher_free(struct publisher *publisher, int64_t drain_ms);

#endif
