/* Certificates made on the spot, for tests of TLS clients. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct authority;

struct authority *authority_new(const char *name);
void authority_free(struct authority *authority);

/* Its certificate, as PEM. */
void authority_write(const struct authority *authority, const char *path);

/* A server's context with a certificate for this name ("IP:127.0.0.1", "DNS:other.example"), valid
 * now or until yesterday; SSL_CTX_free() it. */
SSL_CTX *authority_server(const struct authority *authority, const char *name, bool expired);

#endif
