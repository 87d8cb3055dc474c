/* hiredis speaks TLS, and OpenSSL is told whom to trust: hiredis_ssl's own context does not check
 * the peer's name. */
#include "services/clients/redis/tls.h"
#include "services/clients/redis/redis_connection.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#if __has_include(<hiredis/hiredis_ssl.h>)
#include <hiredis/hiredis_ssl.h>
#define HAS_TLS true
#else
#define HAS_TLS false
static int redisInitiateSSL(redisContext *context, SSL *ssl)
{
    (void)context, (void)ssl;
    return REDIS_ERR;
}
#endif

int redis_address_parse(const char *text, struct host_port *ret, struct error *err)
{
    struct host_port address;
    if (host_port_parse(text, REDIS_PORT, &address, err) != 0)
        return -1;
    if (address.tls && !HAS_TLS) {
        error_set(err, "rediss:// needs hiredis 1 or newer; this program is built with %d.%d",
                  HIREDIS_MAJOR, HIREDIS_MINOR);
        return -1;
    }
    *ret = address;
    return 0;
}

const char *redis_error_text(const redisContext *context)
{
    /* hiredis sets errno's text, which says nothing when OpenSSL has failed. */
    const char *text = NULL;
    if (context->err == REDIS_ERR_IO)
        text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : context->errstr;
}

static SSL_CTX *trusting(const char *ca_file, struct error *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL)
        abort(); /* out of memory */
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    bool loaded = ca_file != NULL ? SSL_CTX_load_verify_file(tls, ca_file) == 1
                                  : SSL_CTX_set_default_verify_paths(tls) == 1;
    if (!loaded) {
        error_set(err, "cannot load certificate authorities from %s",
                  ca_file != NULL ? ca_file : "the system");
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

int redis_tls_begin(const char *ca_file, redisContext *context, const char *host, struct error *err)
{
    SSL_CTX *tls = trusting(ca_file, err);
    if (tls == NULL)
        return -1;
    SSL *ssl = SSL_new(tls);
    if (ssl == NULL || SSL_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
        SSL_set1_host(ssl, host) != 1)
        abort();       /* out of memory */
    SSL_CTX_free(tls); /* `ssl` keeps it */
    if (strspn(host, "0123456789.") != strlen(host) && strchr(host, ':') == NULL)
        (void)SSL_set_tlsext_host_name(ssl, host); /* never for an address, RFC 6066 section 3 */
    if (redisInitiateSSL(context, ssl) != REDIS_OK) {
        error_set(err, "%s", redis_error_text(context));
        SSL_free(ssl); /* it is hiredis' only after success */
        return -1;
    }
    return 0;
}
