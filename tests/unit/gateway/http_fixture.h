/* The gateway's HTTP side, with fakes behind it, on a loopback port and a thread of its own; and a
 * client that says exactly what it is told to. The gateway's time is test_clock.h. */
#ifndef TESTS_GATEWAY_HTTP_FIXTURE_H
#define TESTS_GATEWAY_HTTP_FIXTURE_H

#include "services/gateway/router.h"
#include "tests/unit/gateway/fake_letters.h"
#include "tests/unit/gateway/fakes.h"
#include <sys/types.h>

#define REPLY_SIZE (256 * 1024)

struct http_fixture;

struct http_fixture *http_fixture_new(unsigned max_connections);

/* Drains the server: fails the test when a connection does not end. */
void http_fixture_free(struct http_fixture *fixture);

/* Set these between requests only. */
struct fakes *http_fixture_fakes(struct http_fixture *fixture);
struct fake_letters *http_fixture_letters(struct http_fixture *fixture);
struct api_settings *http_fixture_settings(struct http_fixture *fixture);
struct router *http_fixture_router(struct http_fixture *fixture);

struct reply {
    int status;  /* 0: the connection ended without an answer */
    bool closed; /* the server closed the connection after the answer */
    size_t body_len;
    char *body;                /* within `text` */
    char text[REPLY_SIZE + 1]; /* the whole answer */
};

/* Send `len` bytes on a new connection, which the caller closes. */
int http_send_raw(struct http_fixture *fixture, const char *request, size_t len);

/* The same with METHOD PATH, further header lines ("A: b\r\n" or "") and a body (NULL: none). */
int http_send(struct http_fixture *fixture, const char *method, const char *path,
              const char *headers, const char *body);

/* Read one answer of known length, and see whether the server closes. */
void http_read_reply(int fd, bool head, struct reply *reply);

/* Send on a new connection, and read one answer. */
void http_exchange(struct http_fixture *fixture, const char *request, size_t len,
                   struct reply *ret_reply);
void http_request(struct http_fixture *fixture, const char *method, const char *path,
                  const char *headers, const char *body, struct reply *ret_reply);

/* The value of a header of the answer, in a static buffer, or NULL. */
const char *reply_header_value(const struct reply *reply, const char *name);

/* Fails the test unless the answer is a problem with this status and code, and names a trace. */
void assert_problem(const struct reply *reply, int status, const char *code);

/* A connection to the server, for tests that keep it; close() it. */
int http_connect(struct http_fixture *fixture);
/* recv(2), which with a timeout is interrupted when a stopped process goes on (signal(7)). */
ssize_t http_receive(int fd, void *buffer, size_t size);

#endif
