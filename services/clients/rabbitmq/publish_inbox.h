/* Where requests enter a publisher, from any thread: a bounded list under a mutex, and an eventfd
 * that wakes the publisher's thread. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_INBOX_H
#define CLIENTS_RABBITMQ_PUBLISH_INBOX_H

#include "services/clients/rabbitmq/publisher.h"
#include <pthread.h>
#include <stdatomic.h>

/* Requests linked by `next`, in order. */
struct request_list {
    struct publish_request *first, **end;
};

void request_list_init(struct request_list *list);
void request_list_append(struct request_list *list, struct publish_request *request);
struct publish_request *request_list_pop(struct request_list *list); /* not when it is empty */
/* Move all of `from` behind `to`. */
void request_list_move(struct request_list *to, struct request_list *from);

struct publish_inbox {
    unsigned window;
    int wake_fd; /* readable when there is something new */
    pthread_mutex_t lock;
    struct request_list requests;
    bool closed;
    atomic_bool open;
    atomic_uint unanswered; /* submitted, wherever they are now */
};

void publish_inbox_init(struct publish_inbox *inbox, unsigned window);
void publish_inbox_release(struct publish_inbox *inbox);

/* publisher_accepts() and publisher_submit(). Any thread. */
bool publish_inbox_accepts(const struct publish_inbox *inbox);
int publish_inbox_submit(struct publish_inbox *inbox, struct publish_request *first,
                         unsigned count);

/* Wake the publisher's thread. Any thread. */
void publish_inbox_wake(struct publish_inbox *inbox);

/* Refuse all from now on, whatever publish_inbox_open() says. Any thread. */
void publish_inbox_close(struct publish_inbox *inbox);

/* The rest is for the publisher's thread. */

/* Take requests or refuse them. After a refusal nothing comes in that take() would not give. */
void publish_inbox_open(struct publish_inbox *inbox, bool open);

/* Move what has come in behind `to`. */
void publish_inbox_take(struct publish_inbox *inbox, struct request_list *to);

/* After wake_fd became readable. */
void publish_inbox_woken(struct publish_inbox *inbox);

/* One request has had its result: there is room again. */
void publish_inbox_count_answered(struct publish_inbox *inbox);

#endif
