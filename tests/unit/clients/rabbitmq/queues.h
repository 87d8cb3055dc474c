/* What a test does to the queues of its RabbitMQ, on a connection of its own. */
#ifndef TEST_QUEUES_H
#define TEST_QUEUES_H

#include <stddef.h>

/* How many messages are ready in the queue. */
unsigned queue_depth(const char *queue);
void queue_delete(const char *queue);

/* Publish one message, without a message id. */
void queue_publish(const char *queue, const void *body, size_t body_len);

/* Publish the body "large" with a header as large as RabbitMQ takes it from a publisher, into a
 * queue whose messages die at once. RabbitMQ moves it to `queue`, with more headers. */
void queue_publish_grown(const char *queue);

/* Take all messages out of the queue; `on_message` gets each one's message id. */
void queue_drain(const char *queue, void (*on_message)(void *arg, const char *id, size_t id_len),
                 void *arg);

#endif
