/* A server and its clients on one thread: the test turns the loop and moves the clock. */
#include "services/base/memory.h"
#include "services/loop/event_loop_h2o.h"
#include "services/runtime/http_server.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static h2o_loop_t *evloop;
static struct event_loop *events;
static struct http_server *server;
static uint16_t port;

/* What the server has handled: the first byte of each request's path is its client's name. */
static char handled[4096];
static size_t handled_count, handled_in_turn[128];

static void handle(void *arg, h2o_req_t *req, enum request_head_fault fault)
{
    static h2o_generator_t generator = {NULL, NULL};
    (void)arg;
    assert_int_equal(fault, REQUEST_HEAD_FINE);
    char name = req->path.base[1];
    assert_true(handled_count < sizeof(handled) - 1);
    handled[handled_count++] = name;
    handled_in_turn[(size_t)name]++;
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = 2;
    h2o_start_response(req, &generator);
    h2o_send(req, &(h2o_iovec_t){H2O_STRLIT("ok")}, 1, H2O_SEND_STATE_FINAL);
}

static int set_up(void **state)
{
    (void)state;
    struct error err;
    memset(handled, 0, sizeof(handled));
    handled_count = 0;
    evloop = h2o_evloop_create();
    events = event_loop_h2o_new(evloop);
    server = http_server_new(evloop, events,
                             &(struct http_server_options){.max_connections = 10,
                                                           .max_body_bytes = 100000,
                                                           .request_timeout_ms = 10000,
                                                           .handle = handle});
    port = loopback_free_ports(1);
    int fd = http_listen("127.0.0.1", port, false, &err);
    assert_int_not_equal(fd, -1);
    http_server_listen(server, fd);
    return 0;
}

static void turn(int32_t wait_ms)
{
    memset(handled_in_turn, 0, sizeof(handled_in_turn));
    (void)h2o_evloop_run(evloop, http_server_turn(server, wait_ms));
}

static int tear_down(void **state)
{
    (void)state;
    http_server_drain(server);
    wait_until(http_server_connections(server) == 0, turn(10));
    http_server_free(server);
    event_loop_h2o_free(events);
    (void)h2o_evloop_run(evloop, 0);
    h2o_evloop_destroy(evloop);
    return 0;
}

static int client_new(void)
{
    int fd = loopback_connect(port);
    assert_int_not_equal(fd, -1);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* ---- turns ---- */

static void a_connection_has_one_request_a_turn(void **state)
{
    (void)state;
    static const char request[] = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1";
    enum { REQUESTS = 1000 };
    int greedy = client_new(), victim = client_new();
    for (unsigned i = 0; i < REQUESTS; i++)
        client_send(greedy, request);
    wait_until(handled_count > 10, turn(10));

    client_send(victim, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t before = handled_count;
    for (unsigned turns = 0; strchr(handled, 'b') == NULL; turns++) {
        assert_true(turns < 3);
        turn(10);
        assert_true(handled_in_turn['a'] <= 1);
    }
    assert_true(handled_count - before <= 4);

    wait_until(handled_count == REQUESTS + 1, turn(10); assert_true(handled_in_turn['a'] <= 1));
    close(greedy);
    close(victim);
}

static void a_client_that_leaves_takes_its_waiting_request_along(void **state)
{
    (void)state;
    int fd = client_new();
    client_send(fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(handled_count == 1, turn(10));
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
    wait_until(http_server_connections(server) == 0, turn(10));
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_has_one_request_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_takes_its_waiting_request_along,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
