/* The groups of tests that share one RabbitMQ: test_broker.c runs them. */
#ifndef TEST_BROKER_H
#define TEST_BROKER_H

#include "tests/unit/support/cmocka_headers.h"

int run_connection_tests(void);
int run_link_tests(void);
int run_queue_declaration_tests(void);
int run_publisher_tests(void);

#endif
