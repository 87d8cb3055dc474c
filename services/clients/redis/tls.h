/* TLS to Redis, which hiredis has since its version 1. */
#ifndef CLIENTS_REDIS_TLS_H
#define CLIENTS_REDIS_TLS_H

#include "proto/error.h"
#include "services/base/endpoint.h"
#include <hiredis/hiredis.h>

/* Parse REDIS_ADDR: host:port, unix:/path, or rediss://host:port for TLS (the scheme is registered
 * with IANA). TLS that hiredis does not have is an error. */
int redis_address_parse(const char *text, struct host_port *ret, struct error *err)
    __attribute__((warn_unused_result));

/* Begin TLS on a context that has a socket, connected or not yet. The peer's certificate must be
 * for `host`, and signed by an authority of ca_file (PEM; NULL: one of the system's), which is read
 * each time. Blocks when the context does. */
int redis_tls_begin(const char *ca_file, redisContext *context, const char *host, struct error *err)
    __attribute__((warn_unused_result));

/* What has gone wrong with the context: for a failed handshake, what OpenSSL says about it. */
const char *redis_error_text(const redisContext *context);

#endif
