/* A small HTTP/1.1 server on threads, for clients under test. The test decides on each answer, or
 * the path does: /echo answers with the request itself, /status/N with that status, /long with
 * 100,000 bytes, /close closes after a good answer; /silent never answers, /reset resets, /half
 * breaks off, /junk is not HTTP. */
#ifndef TESTS_HTTP_PEER_H
#define TESTS_HTTP_PEER_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PEER_LONG_BYTES 100000

struct http_peer;

struct http_peer *http_peer_new(void);
/* Every request is answered with the status that this function returns, and with the body that it
 * writes; 0: it is never answered. It is called on the threads of the connections. */
typedef int http_peer_answer_fn(void *arg, const char *request, char *ret_body, size_t size);
struct http_peer *http_peer_new_answering(http_peer_answer_fn *answer, void *arg);
/* By the path, over TLS; the context stays the caller's. */
struct http_peer *http_peer_new_tls(SSL_CTX *context);
void http_peer_free(struct http_peer *peer);
uint16_t http_peer_port(const struct http_peer *peer);
/* Connections accepted so far, and of these the ones that are closed again. */
unsigned http_peer_connections(const struct http_peer *peer);
unsigned http_peer_closed(const struct http_peer *peer);

#endif
