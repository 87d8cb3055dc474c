/* librabbitmq's socket for amqps://. librabbitmq verifies the certificate for the text that it
 * opens; this socket is opened by an address, and OpenSSL verifies the certificate for the name. */
#ifndef CLIENTS_RABBITMQ_TLS_SOCKET_H
#define CLIENTS_RABBITMQ_TLS_SOCKET_H

#include "proto/error.h"
#include "services/clients/rabbitmq/amqp.h"

/* A socket of `amqp`, unconnected, with TLS 1.2 or later. The peer's certificate must be for `host`
 * (a name, or an address literally) and signed by an authority in `ca_file` (NULL: one of the
 * system's). A name is sent as SNI (RFC 6066, section 3). Returns NULL with `err` set when the
 * authorities cannot be loaded. */
amqp_socket_t *tls_socket_new(amqp_connection_state_t amqp, const char *host, const char *ca_file,
                              struct error *err);

/* Why the peer's certificate was refused, when that is why opening the socket failed; else `err`
 * stays untouched. Not after the connection was destroyed. */
void tls_socket_explain(amqp_socket_t *socket, struct error *err);

#endif
