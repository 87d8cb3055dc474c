/* Requests over HTTP on an event loop: libcurl's multi interface, connections kept open. Never
 * blocks (names are resolved on libcurl's own threads). */
#ifndef CLIENTS_HTTP_HTTP_CLIENT_H
#define CLIENTS_HTTP_HTTP_CLIENT_H

#include "proto/error.h"
#include "services/clients/http/answer_body.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client_options {
    const char *authorization;   /* header line "Authorization: ...", or NULL */
    const char *user, *password; /* for Basic, when there is no `authorization`; or NULL */
    const char *ca_file;         /* or NULL */
    unsigned max_in_flight;      /* requests, and connections, at once; more are refused; > 0 */
    size_t max_response_bytes;   /* a longer answer is a failure */
    struct byte_budget *answers; /* of all answers in memory, several clients may share it; or NULL:
                                    no limit */
};

struct http_client;

/* The options are copied. Needs what service_main() does: curl_global_init(), and SIGPIPE ignored.
 */
struct http_client *http_client_new(struct event_loop *loop,
                                    const struct http_client_options *options);
/* Pending requests are dropped without a callback. Not legal inside a callback of the client. NULL
 * is legal. */
void http_client_free(struct http_client *client);

struct http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;    /* http[s]://..., without credentials; percent-encoded */
    const char *body;   /* or NULL; copied unless `body_kept` */
    size_t body_len;
    const char *content_type; /* of the body */
    bool body_kept;           /* the caller keeps the body unchanged until the callback */
    bool ends_connection;     /* it is not kept for another request */
    int64_t timeout_ms;       /* for all, from resolving the name to the answer's last byte */
};

enum http_end {
    HTTP_ANSWERED,
    HTTP_FAILED,
    HTTP_TIMED_OUT,
    HTTP_OVER_BUDGET, /* there was no room for the answer */
    HTTP_TOO_LONG,    /* the answer has more than max_response_bytes */
};

/* `status` is the HTTP status, or 0 when there was no whole answer: then `err` says why, else it is
 * NULL. `body` lives during the callback only, unless it is taken. */
typedef void http_done_fn(void *arg, long status, enum http_end end, const char *body,
                          size_t body_len, const struct error *err);

/* Inside a callback: take the body. It stays where it is until answer_body_free(), also after
 * http_client_free(). Returns NULL when it is empty. */
struct answer_body *http_client_take_body(struct http_client *client);

/* Send a request. Returns 0, or -1 when max_in_flight is reached. The callback comes exactly once,
 * from the loop, never from inside this call. */
int http_client_send(struct http_client *client, const struct http_request *request,
                     http_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* Send a request and block until it ends; the client must have nothing else under way. Returns the
 * HTTP status and the answer's body, to be freed with answer_body_free(), or 0 with `err` set when
 * there was no whole answer. */
long http_client_ask(struct http_client *client, const struct http_request *request,
                     struct answer_body **ret_body, struct error *err)
    __attribute__((warn_unused_result));

#endif
