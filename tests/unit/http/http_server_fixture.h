/* A server and its clients on one thread: the test turns the loop and moves the clock. */
#ifndef HTTP_SERVER_FIXTURE_H
#define HTTP_SERVER_FIXTURE_H

#include "services/http/http_server.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern struct http_server *server;
extern uint16_t port;
extern struct byte_budget bodies; /* of 200,000 bytes */

/* What the server has handled: the first byte of each request's path is its client's name. */
extern char handled[4096];
extern size_t handled_count, handled_in_turn[128];
extern h2o_req_t *held; /* of path /hold: the test answers it */

void answer(h2o_req_t *req);

/* The wall clock, by which libh2o goes, differs by so much. */
extern int64_t wall_clock_off_s;

/* For cmocka: a server for 10 connections at once. */
int set_up(void **state);
int set_up_ends_slow(void **state);
int tear_down(void **state);

/* Once; `handled_in_turn` is of this turn. */
void turn(int32_t wait_ms);

/* Let time pass as the loop sees it, which looks four times a second. */
void pass(int64_t ms);

int client_new(void);
int client_accepted(void); /* by the server, too */
void client_send(int fd, const char *text);

/* All that the server has sent until now, in a static buffer. `ended`: and it has closed the
 * connection, without a reset. Fails the test if that is not so. */
const char *received(int fd, bool ended);

#define assert_answer(fd, ended, beginning)                                                        \
    assert_memory_equal(received(fd, ended), beginning, strlen(beginning))
#define assert_open(fd) assert_string_equal(received(fd, false), "")
#define assert_ended(fd) assert_string_equal(received(fd, true), "")

#define GET "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
