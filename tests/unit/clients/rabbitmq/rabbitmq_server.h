/* A private RabbitMQ for tests: own ports, own Erlang port mapper, all files in a temporary folder,
 * one per program. It ends with the program, however that ends. */
#ifndef TEST_RABBITMQ_SERVER_H
#define TEST_RABBITMQ_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#define RABBITMQ_SERVER_HEARTBEAT_S 4 /* shorter than a client's wish, to shorten the tests */

/* Blocks until the server answers; aborts with a message when it does not in time. */
void rabbitmq_server_start(void);
void rabbitmq_server_stop(void);

const char *rabbitmq_server_url(void); /* amqp://… */
uint16_t rabbitmq_server_port(void);

/* A listener with TLS, whose certificate is for "localhost" and "found.test"; the file of its
 * authority, and that of another one. */
const char *rabbitmq_server_tls_url(const char *host);
const char *rabbitmq_server_ca_file(void);
const char *rabbitmq_server_other_ca_file(void);

/* Another certificate for the listener, of its authority or of the other one, while it runs. */
void rabbitmq_server_renew(bool by_other_ca);

/* rabbitmqctl with these arguments; aborts the test when it fails. Takes a second or two. */
void rabbitmq_server_ctl(const char *arguments);

#endif
