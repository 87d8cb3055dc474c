/* Certificates made on the spot, for tests of TLS clients. */
#include "tests/unit/support/certificates.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_SECONDS (24 * 3600L)

struct authority {
    EVP_PKEY *key;
    X509 *certificate;
};

static void must(bool done)
{
    if (!done)
        abort();
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    must(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *certificate_new(const char *common_name, EVP_PKEY *key, long serial, long days)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    must(X509_set_version(certificate, 2) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * DAY_SECONDS) != NULL &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), days * DAY_SECONDS) != NULL &&
         X509_set_pubkey(certificate, key) == 1 &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name,
                                    -1, -1, 0) == 1);
    return certificate;
}

struct authority *authority_new(const char *name)
{
    struct authority *authority = calloc(1, sizeof(*authority));
    must(authority != NULL);
    authority->key = EVP_EC_gen("P-256");
    must(authority->key != NULL);
    authority->certificate = certificate_new(name, authority->key, 1, 10);
    must(X509_set_issuer_name(authority->certificate,
                              X509_get_subject_name(authority->certificate)) == 1);
    add_extension(authority->certificate, NID_basic_constraints, "critical,CA:TRUE");
    must(X509_sign(authority->certificate, authority->key, EVP_sha256()) > 0);
    return authority;
}

void authority_free(struct authority *authority)
{
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    free(authority);
}

void authority_write(const struct authority *authority, const char *path)
{
    FILE *file = fopen(path, "w");
    must(file != NULL && PEM_write_X509(file, authority->certificate) == 1 && fclose(file) == 0);
}

SSL_CTX *authority_server(const struct authority *authority, const char *name, bool expired)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(context != NULL && key != NULL);
    X509 *certificate = certificate_new("test server", key, 2, expired ? -1 : 10);
    must(X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate)) == 1);
    add_extension(certificate, NID_subject_alt_name, name);
    must(X509_sign(certificate, authority->key, EVP_sha256()) > 0 &&
         SSL_CTX_use_certificate(context, certificate) == 1 &&
         SSL_CTX_use_PrivateKey(context, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return context;
}
