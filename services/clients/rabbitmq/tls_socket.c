/* TLS to RabbitMQ: what must be said to OpenSSL that librabbitmq does not say. */
#include "services/clients/rabbitmq/tls_socket.h"
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* The context's application data is the first error that verification has met. */
static int on_verified(int accepted, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (!accepted)
        SSL_CTX_set_app_data(SSL_get_SSL_CTX(ssl),
                             (void *)(intptr_t)X509_STORE_CTX_get_error(store));
    return accepted;
}

/* librabbitmq has announced the address as SNI. */
static void on_progress(const SSL *ssl, int where, int result)
{
    (void)result;
    if (where & SSL_CB_HANDSHAKE_START)
        (void)SSL_set_tlsext_host_name(
            (SSL *)(uintptr_t)ssl, /* fails out of memory only */
            X509_VERIFY_PARAM_get0_host(SSL_get0_param((SSL *)(uintptr_t)ssl), 0));
}

amqp_socket_t *tls_socket_new(amqp_connection_state_t amqp, const char *host, const char *ca_file,
                              struct error *err)
{
    amqp_socket_t *tls = amqp_ssl_socket_new(amqp);
    if (!tls) {
        error_set(err, "cannot initialise TLS");
        return NULL;
    }
    SSL_CTX *context = amqp_ssl_socket_get_context(tls);
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    amqp_ssl_socket_set_verify_peer(tls, 1);
    amqp_ssl_socket_set_verify_hostname(tls, 0); /* OpenSSL does it, by `param` */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verified);
    SSL_CTX_set_info_callback(context, on_progress);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1 && /* it is no address */
        X509_VERIFY_PARAM_set1_host(param, host, 0) != 1)
        abort();
    if (amqp_ssl_socket_set_ssl_versions(tls, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK) {
        error_set(err, "cannot demand TLS 1.2");
        return NULL;
    }
    bool trusting = ca_file ? amqp_ssl_socket_set_cacert(tls, ca_file) == AMQP_STATUS_OK
                            : SSL_CTX_set_default_verify_paths(context) == 1;
    if (!trusting) {
        error_set(err, "cannot load certificate authorities from %s",
                  ca_file ? ca_file : "the system");
        return NULL;
    }
    return tls;
}

void tls_socket_explain(amqp_socket_t *socket, struct error *err)
{
    long reason = (long)(intptr_t)SSL_CTX_get_app_data(amqp_ssl_socket_get_context(socket));
    if (reason == X509_V_OK)
        return;
    bool other_name =
        reason == X509_V_ERR_HOSTNAME_MISMATCH || reason == X509_V_ERR_IP_ADDRESS_MISMATCH;
    error_set(err, "%s verification failed: %s", other_name ? "hostname" : "certificate",
              X509_verify_cert_error_string(reason));
}
