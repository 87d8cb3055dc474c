/* The key of a deployment: who has it is a member, and may be the bridge or a worker of a link.
 * CURVE (RFC 26) proves it in the handshake and encrypts the rest. Both ends have one key pair. */
#ifndef WORKER_LINK_KEY_H
#define WORKER_LINK_KEY_H

#include "proto/error.h"
#include <czmq.h>
#include <stdint.h>

/* CURVE puts so many bytes around each frame: "\x07MESSAGE", nonce, authenticator, flags. */
#define LINK_KEY_FRAME_BYTES 33

struct link_key {
    char secret[41], public[41]; /* in Z85 (RFC 32) */
    uint8_t public_bytes[32];
};

/* For config_option.validate: 64 hexadecimal digits. */
int link_key_validate(const char *digits, struct error *err);

/* From valid digits, the secret half of the pair. Aborts when libzmq lacks CURVE. */
void link_key_read(const char *digits, struct link_key *ret);

/* For a socket that will be bound: it lets only members in, as gate.c judges. */
void link_key_guard(const struct link_key *key, zsock_t *socket);

/* For a socket that will be connected: it talks only to members. */
void link_key_present(const struct link_key *key, zsock_t *socket);

#define LINK_KEY_ZAP_DOMAIN "order-pipeline"

#endif
