/* A supervised connection to RabbitMQ, on an event loop. The link connects in the background (the
 * servers of the list in turn), declares the order queue and its dead-letter queue, reads what the
 * broker sends, and connects again, with backoff and jitter, after a loss or a failed attempt. It
 * notices a silent or stuck peer within 15 s (1.5 and 0.8 of the negotiated heartbeat interval).
 * Everything here is for the loop's thread, and never blocks, but for broker_link_free(). */
#ifndef CLIENTS_RABBITMQ_LINK_H
#define CLIENTS_RABBITMQ_LINK_H

#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/loop/event_loop.h"

struct broker_link;

struct broker_link_options {
    struct broker_options broker; /* these strings and `queue` must outlive the link; `server` is
                                     the first server of the list that is tried */
    const char *queue;            /* declared at each connect, with its dead-letter queue */
    enum queue_type queue_type;
    const char *third_queue; /* declared, too, with no dead-letter queue; or NULL */
    bool confirms;           /* confirm.select */
    bool consumes;           /* broker_take_large_frames() */
    unsigned ask_queues; /* every 2 s the broker is asked how 0 queues stand, 1 (the order queue), 2
                            (then its dead-letter queue) or 3 (then the third queue) */
    /* Connected: the channel is ready. `warning`, or NULL: a queue differs (queue_declaration.h).
     */
    void (*on_up)(void *arg, const char *warning);
    /* The connection is lost, or an attempt to make one has failed. Nothing of it is left. */
    void (*on_down)(void *arg, const char *reason);
    /* The broker reads nothing that is published (connection.blocked); reason NULL: it does again.
     * NULL: the user publishes nothing. */
    void (*on_blocked)(void *arg, const char *reason);
    /* How a queue stands; for ask_queues over 0. */
    void (*on_counts)(void *arg, const amqp_queue_declare_ok_t *counts);
    /* A frame about a message, or the answer to a method that the user has sent. The frame lives
     * during the callback. Returns 0, or -1 with `err` set to give the connection up. */
    int (*on_frame)(void *arg, const amqp_frame_t *frame, struct error *err);
    /* All frames that had arrived were handed over, or the socket has become writable. */
    void (*on_turn)(void *arg);
    void *arg;
};

/* Held at first: broker_link_hold(link, false) starts it. */
struct broker_link *broker_link_new(struct event_loop *loop,
                                    const struct broker_link_options *options);

/* No callback comes. A connection that works is closed politely (at most 1 s). NULL is legal. Not
 * inside a callback of the link. */
void broker_link_free(struct broker_link *link);

/* While it is held, a link that is down begins no attempt to connect; one under way goes on. */
void broker_link_hold(struct broker_link *link, bool held);

/* The connection to send on, or NULL while the link is down. When sending fails, call
 * broker_link_drop(). */
struct broker_connection *broker_link_connection(struct broker_link *link);

/* How the queues of this connection, or of the last one, differ from what would be declared. */
const struct queue_differences *broker_link_differences(const struct broker_link *link);

/* Whether the socket takes a few kilobytes at once: ask before sending. When it does not, on_turn
 * comes once it does. False while the link is down. */
bool broker_link_writable(struct broker_link *link);

/* Read and hand over nothing for now, or again. Heartbeats are sent meanwhile. */
void broker_link_pause(struct broker_link *link, bool paused);

/* Make another turn (on_frame, on_turn) as soon as the loop has served its other watches. */
void broker_link_turn_again(struct broker_link *link);

/* Give the connection up: on_down() comes before this returns. The next attempt comes after
 * `pause_ms`, or by the link's own policy. Does nothing while the link is down. */
#define BROKER_LINK_POLICY (-1)
void broker_link_drop(struct broker_link *link, const char *reason, int64_t pause_ms);

#endif
