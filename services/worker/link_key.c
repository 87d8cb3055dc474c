/* LINK_KEY is the secret half, the public one follows from it. A server that is given no answer by
 * a ZAP handler would let everybody in who knows the public half; ZMQ_ZAP_ENFORCE_DOMAIN makes it
 * refuse. */
#include "services/worker/link_key.h"
#include "proto/hex.h"
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 32
/* zmq.h hides it behind the draft API; the library has it. */
#define OPTION_ZAP_ENFORCE_DOMAIN 93

int link_key_validate(const char *digits, struct error *err)
{
    size_t count = 0;
    while (digits[count] != '\0' && hex_digit(digits[count]) >= 0)
        count++;
    if (count == 2 * KEY_BYTES && digits[count] == '\0')
        return 0;
    error_set(err, "must be %d hexadecimal digits, as of openssl rand -hex %d", 2 * KEY_BYTES,
              KEY_BYTES);
    return -1;
}

void link_key_read(const char *digits, struct link_key *ret)
{
    uint8_t secret[KEY_BYTES];
    for (size_t i = 0; i < KEY_BYTES; i++)
        secret[i] = (uint8_t)(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
    if (zmq_z85_encode(ret->secret, secret, KEY_BYTES) == NULL ||
        zmq_curve_public(ret->public, ret->secret) != 0 ||
        zmq_z85_decode(ret->public_bytes, ret->public) == NULL)
        abort();
    explicit_bzero(secret, sizeof secret);
}

static void use(const struct link_key *key, zsock_t *socket)
{
    zsock_set_curve_publickey(socket, key->public);
    zsock_set_curve_secretkey(socket, key->secret);
}

void link_key_guard(const struct link_key *key, zsock_t *socket)
{
    const int on = 1;
    use(key, socket);
    zsock_set_curve_server(socket, 1);
    zsock_set_zap_domain(socket, LINK_KEY_ZAP_DOMAIN);
    if (zmq_setsockopt(zsock_resolve(socket), OPTION_ZAP_ENFORCE_DOMAIN, &on, sizeof on) != 0)
        abort();
}

void link_key_present(const struct link_key *key, zsock_t *socket)
{
    use(key, socket);
    zsock_set_curve_serverkey(socket, key->public);
}
