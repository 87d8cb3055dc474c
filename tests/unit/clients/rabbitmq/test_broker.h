/* The groups of tests that share one RabbitMQ: test_broker.c runs them. */
#ifndef TEST_BROKER_H
#define TEST_BROKER_H

#include "tests/unit/support/cmocka_headers.h"

int run_connection_tests(void);
int run_queue_declaration_tests(void);
int run_publisher_tests(void);

/* How many messages are ready in the queue. */
unsigned queue_depth(const char *queue);
void queue_delete(const char *queue);

/* Take all messages out of the queue; `on_message` gets each one's message id. */
void queue_drain(const char *queue, void (*on_message)(void *arg, const char *id, size_t id_len),
                 void *arg);

#endif
