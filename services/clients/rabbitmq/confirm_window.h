/* What was published on one channel and is not confirmed yet, by delivery tag. In confirm mode the
 * channel counts its publishes from 1, and that count is the tag that the broker confirms
 * (https://www.rabbitmq.com/confirms.html). No input/output, no time of its own; one thread. */
#ifndef CLIENTS_RABBITMQ_CONFIRM_WINDOW_H
#define CLIENTS_RABBITMQ_CONFIRM_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publish_request;

struct sent_message {
    struct publish_request *request; /* NULL: answered */
    uint64_t fingerprint;            /* of message id and routing key; 0: settled by the broker */
    int64_t sent_us;
    bool again;    /* an earlier connection has sent it too */
    bool returned; /* the broker could not route it; its ack follows */
};

struct confirm_window {
    struct sent_message *slots; /* a ring, indexed by tag */
    uint64_t mask;
    uint64_t first;       /* all tags below are answered */
    uint64_t next;        /* the tag of the next publish */
    uint64_t next_return; /* returns come in the order of publishing: the search starts here */
};

/* Room for at least `capacity` tags between the oldest unanswered and the newest. */
void confirm_window_init(struct confirm_window *window, size_t capacity);
void confirm_window_release(struct confirm_window *window);

/* A new channel: its tags start at 1 again. All must have been taken. */
void confirm_window_reset(struct confirm_window *window);

bool confirm_window_full(const struct confirm_window *window);

/* One message is about to be published; it gets the next tag. Not when full. */
void confirm_window_add(struct confirm_window *window, struct publish_request *request,
                        int64_t now_us);

/* A basic.return came. One that belongs to an answered message changes nothing. */
void confirm_window_mark_returned(struct confirm_window *window, const void *message_id,
                                  size_t message_id_len, const void *routing_key,
                                  size_t routing_key_len);

/* The broker has settled this tag: take the message out. Returns false when it was answered already
 * (expired) or was never there. O(1). */
bool confirm_window_settle(struct confirm_window *window, uint64_t tag,
                           struct sent_message *ret_message);

/* Give up waiting for this tag: the same, but a late return of it is still recognised. */
bool confirm_window_expire(struct confirm_window *window, uint64_t tag,
                           struct sent_message *ret_message);

/* The message with this tag, or NULL when it is answered. */
const struct sent_message *confirm_window_peek(const struct confirm_window *window, uint64_t tag);

#endif
