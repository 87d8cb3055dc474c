/* Turns, the last answer of a connection, and the drain. */
#include "tests/unit/http/http_server_fixture.h"
#include <sys/epoll.h>
#include <sys/syscall.h>

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

static void the_requests_of_a_client_that_has_left_are_not_handled(void **state)
{
    (void)state;
    enum { REQUESTS = 1000 };
    static char requests[REQUESTS * (sizeof(GET) - 1) + 1];
    for (unsigned i = 0; i < REQUESTS; i++)
        strcat(requests, GET);
    int fd = client_new();
    client_send(fd, requests);
    wait_until(handled_count > 0, turn(10));
    size_t before = handled_count;
    assert_true(before < REQUESTS / 2);
    close(fd); /* with answers unread: a reset */
    wait_until(http_server_connections(server) == 0, turn(10));
    assert_true(handled_count <= before + 1);
}

static void a_client_that_sends_no_more_gets_all_its_answers(void **state)
{
    (void)state;
    enum { REQUESTS = 100 };
    int fd = client_new();
    for (unsigned i = 0; i < REQUESTS; i++)
        client_send(fd, GET);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    wait_until(http_server_connections(server) == 0, turn(10));
    assert_int_equal(handled_count, REQUESTS);
    close(fd);
}

/* ---- reading while a request is answered ---- */

static unsigned epoll_changes;

/* In place of libc's, for libh2o too. */
int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    epoll_changes++;
    return (int)syscall(SYS_epoll_ctl, set, operation, fd, event);
}

#define HOLD "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"

static void requests_one_after_another_change_no_epoll_set(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, GET);
    assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
    epoll_changes = 0;
    for (unsigned i = 0; i < 3; i++) {
        held = NULL;
        client_send(fd, HOLD);
        wait_until(held != NULL, turn(10));
        for (unsigned turns = 0; turns < 3; turns++)
            turn(1);
        answer(held);
        assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
    }
    assert_int_equal(epoll_changes, 0);
    close(fd);
}

static void what_comes_before_the_answer_is_read_after_it(void **state)
{
    (void)state;
    static char long_path[6000];
    memset(long_path, 'c', sizeof(long_path) - 1);
    char next[7000];
    (void)snprintf(next, sizeof(next), "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", long_path);
    int fd = client_accepted();
    client_send(fd, HOLD);
    wait_until(held != NULL, turn(10));
    epoll_changes = 0;
    client_send(fd, next);
    for (unsigned turns = 0; turns < 3; turns++)
        turn(1);
    assert_int_equal(epoll_changes, 1); /* no turn is woken by it again */
    assert_memory_equal(held->path.base, "/hold", held->path.len);
    assert_int_equal(handled_count, 1);
    answer(held);
    wait_until(handled_count == 2, turn(10));
    assert_string_equal(handled, "hc");
    close(fd);
}

static void a_client_that_leaves_before_the_answer_wakes_no_turn_again(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, HOLD);
    wait_until(held != NULL, turn(10));
    epoll_changes = 0;
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
    wait_until(epoll_changes == 1, turn(10));
    for (unsigned turns = 0; turns < 3; turns++)
        turn(1);
    assert_int_equal(epoll_changes, 1);
    answer(held);
    wait_until(http_server_connections(server) == 0, turn(10));
}

/* ---- the last answer ---- */

static void a_client_that_says_close_is_closed(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Connection: close\r\n",
        "Connection: close, keep-alive\r\n",
        "Connection: keep-alive ,\tCLOSE\r\n",
        "Connection: close\r\nConnection: keep-alive\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
    };
    for (size_t i = 0; i < COUNT(fields); i++) {
        char request[128];
        (void)snprintf(request, sizeof(request), "GET /a HTTP/1.1\r\nHost: x\r\n%s\r\n", fields[i]);
        int fd = client_accepted();
        client_send(fd, request);
        assert_non_null(strstr(received(fd, true), "\r\nConnection: close\r\n"));
        close(fd);
    }
}

static void a_client_that_does_not_say_close_is_kept(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Connection: keep-alive, closed, x\r\n",
        "Connection: TE\r\nTE: trailers\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection:\r\n",
    };
    int fds[COUNT(fields)];
    for (size_t i = 0; i < COUNT(fields); i++) {
        char request[256];
        (void)snprintf(request, sizeof(request), "GET /a HTTP/1.1\r\nHost: x\r\n%s\r\n", fields[i]);
        fds[i] = client_accepted();
        client_send(fds[i], request);
        assert_non_null(strstr(received(fds[i], false), "\r\nConnection: keep-alive\r\n"));
    }
    for (size_t i = 0; i < COUNT(fields); i++)
        close(fds[i]);
}

static void an_old_client_is_not_told_to_continue(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, "POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_open(fd);
    client_send(fd, "x");
    assert_answer(fd, true, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

static void the_last_answer_survives_what_was_not_read(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n",              /* 413 */
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: x\r\n\r\n", /* 417 */
        "NONSENSE\r\n\r\n",                                                           /* 400 */
    };
    static char body[60000];
    memset(body, 'x', sizeof(body) - 1);
    for (size_t i = 0; i < COUNT(requests); i++) {
        int fd = client_accepted();
        client_send(fd, requests[i]);
        for (unsigned turns = 0; turns < 10; turns++) {
            (void)!send(fd, body, 1000, MSG_NOSIGNAL);
            turn(1);
        }
        assert_answer(fd, true, "HTTP/1.1 4");
        pass(1250);
        wait_until(send(fd, "x", 1, MSG_NOSIGNAL) == -1, turn(1)); /* it is closed now */
        close(fd);
    }
}

static void the_answer_of_libh2o_to_a_later_request_survives_too(void **state)
{
    (void)state;
    static const char *const requests[] = {
        GET "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n",
        GET "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: x\r\n\r\n",
        GET "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    };
    static char body[1000];
    for (size_t i = 0; i < COUNT(requests); i++) {
        int fd = client_accepted();
        client_send(fd, requests[i]);
        for (unsigned turns = 0; turns < 10; turns++) {
            assert_int_equal(send(fd, body, sizeof(body), MSG_NOSIGNAL), sizeof(body));
            turn(1);
        }
        const char *answers = received(fd, true);
        assert_memory_equal(answers, "HTTP/1.1 200 ", 13);
        assert_non_null(strstr(answers, "HTTP/1.1 4"));
        close(fd);
    }
}

static void lingering_is_bounded(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, "NONSENSE\r\n\r\n");
    static char much[8192];
    size_t sent = 0;
    wait_until(errno == ECONNRESET || errno == EPIPE, {
        ssize_t n = send(fd, much, sizeof(much), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn(1);
    });
    assert_true(sent < 10 * 1024 * 1024);
    close(fd);
}

/* ---- draining ---- */

static void draining_takes_its_steps(void **state)
{
    (void)state;
    int idle = client_accepted(), used = client_accepted(), holding = client_accepted();
    client_send(holding, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(held != NULL, turn(1));
    http_server_drain(server, 5000);
    pass(4000);
    int fresh = client_accepted(), half = client_accepted(); /* new ones are taken */
    client_send(half, "GET /a HT");
    client_send(fresh, GET);
    assert_non_null(strstr(received(fresh, true), "\r\nConnection: close\r\n"));
    client_send(used, GET);
    assert_non_null(strstr(received(used, true), "\r\nConnection: close\r\n"));
    assert_open(idle);
    pass(1250);
    assert_int_equal(loopback_connect(port), -1); /* the listener is closed */
    assert_open(idle);
    pass(1000);
    assert_ended(idle);
    client_send(half, "TP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(received(half, true), "\r\nConnection: close\r\n"));
    assert_false(http_server_drained(server));
    answer(held);
    assert_non_null(strstr(received(holding, true), "\r\nConnection: close\r\n"));
    close(idle);
    close(used);
    close(holding);
    close(fresh);
    close(half);
    wait_until(http_server_drained(server), turn(1));
}

static void proceed(h2o_generator_t *self, h2o_req_t *req)
{
    (void)self, (void)req;
}

static void an_answer_under_way_is_not_the_last_unless_it_said_so(void **state)
{
    (void)state;
    static h2o_generator_t generator = {proceed, NULL};
    int fd = client_accepted();
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(held != NULL, turn(1));
    held->res.status = 200;
    held->res.reason = "OK";
    held->res.content_length = 2;
    h2o_start_response(held, &generator);
    h2o_send(held, &(h2o_iovec_t){H2O_STRLIT("o")}, 1, H2O_SEND_STATE_IN_PROGRESS);
    assert_non_null(strstr(received(fd, false), "\r\nConnection: keep-alive\r\n"));

    http_server_drain(server, 5000);
    h2o_send(held, &(h2o_iovec_t){H2O_STRLIT("k")}, 1, H2O_SEND_STATE_FINAL);
    assert_answer(fd, false, "k");
    client_send(fd, GET);
    assert_non_null(strstr(received(fd, true), "\r\nConnection: close\r\n"));
    close(fd);
    pass(6500); /* the drain's steps */
}

static void connections_in_the_queue_are_served_when_it_closes(void **state)
{
    (void)state;
    int fds[5];
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = client_new();
        assert_int_equal(send(fds[i], GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
    }
    http_server_drain(server, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_non_null(strstr(received(fds[i], true), "\r\nConnection: close\r\n"));
        close(fds[i]);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() */
    const struct CMUnitTest tests[] = {
        TEST(a_connection_has_one_request_a_turn),
        TEST(a_client_that_leaves_takes_its_waiting_request_along),
        TEST(the_requests_of_a_client_that_has_left_are_not_handled),
        TEST(a_client_that_sends_no_more_gets_all_its_answers),
        TEST(requests_one_after_another_change_no_epoll_set),
        TEST(what_comes_before_the_answer_is_read_after_it),
        TEST(a_client_that_leaves_before_the_answer_wakes_no_turn_again),
        TEST(a_client_that_says_close_is_closed),
        TEST(a_client_that_does_not_say_close_is_kept),
        TEST(an_old_client_is_not_told_to_continue),
        TEST(the_last_answer_survives_what_was_not_read),
        TEST(the_answer_of_libh2o_to_a_later_request_survives_too),
        TEST(lingering_is_bounded),
        TEST(draining_takes_its_steps),
        TEST(an_answer_under_way_is_not_the_last_unless_it_said_so),
        TEST(connections_in_the_queue_are_served_when_it_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
