/* Requests to the gateway, one at a time. Each has a deadline. Redirects are not followed and no
 * proxy is used: the token goes to the gateway only. */
#ifndef ORDERCTL_REQUEST_H
#define ORDERCTL_REQUEST_H

#include "proto/error.h"
#include "services/orderctl/session.h"
#include <curl/curl.h>
#include <jansson.h>
#include <stddef.h>

#define REQUEST_TIMEOUT_MS 15000

/* An answer. Zeroed it is an empty one. */
struct answer {
    long status; /* of HTTP */
    char *body;  /* with a NUL after it; or NULL */
    size_t body_len;
    json_t *json;     /* the body, if it is JSON, else NULL */
    long retry_after; /* in seconds, 0 when it is not said */
};
void answer_release(struct answer *answer);

/* Send `method` "GET" or "POST" to `path`; `body` is JSON, or NULL. Blocks for at most
 * `timeout_ms`, less when an interrupt was asked for (interrupt.h). Returns 0 and an answer, to be
 * released, or -1 with `err` set when there was no whole answer. */
int request_send(const struct session *session, const char *method, const char *path,
                 const char *body, long timeout_ms, struct answer *ret_answer, struct error *err)
    __attribute__((warn_unused_result));

/* As request_send(), for commands that can do nothing without the answer: returns EXIT_GOOD and an
 * answer of 2xx with a JSON object; else tells the user what is wrong and what to do, and returns
 * what to end with. */
int request_json(const struct session *session, const char *method, const char *path,
                 const char *body, struct answer *ret_answer) __attribute__((warn_unused_result));

/* What to end with after an answer of that HTTP status. */
int request_exit_code(long status);

/* Tell on standard error what is wrong with an answer, and what to do. */
void request_complain(const struct session *session, const struct answer *answer);
void request_complain_unreachable(const struct session *session, const struct error *err);

/* For submit, which has several requests at once: a handle that sends to `path` with what all
 * requests have in common. */
CURL *request_handle_new(const struct session *session, const char *path, long timeout_ms);
struct curl_slist *request_headers(const struct session *session);

#endif
