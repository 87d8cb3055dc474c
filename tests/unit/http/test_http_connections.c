/* How long a connection may stay, and which one goes when there is no place. */
#include "tests/unit/http/http_server_fixture.h"

/* ---- time ---- */

static void an_idle_connection_is_kept_for_its_time(void **state)
{
    (void)state;
    int silent = client_accepted(), used = client_accepted();
    pass(70000);
    client_send(used, GET);
    assert_answer(used, false, "HTTP/1.1 200 OK\r\n");
    pass(4750);
    assert_open(silent);
    pass(500);
    assert_ended(silent);
    pass(69000); /* the other one's time began with its answer */
    assert_open(used);
    client_send(used, "\r\n"); /* which is no request */
    pass(1000);
    assert_ended(used);
    close(silent);
    close(used);
}

static void a_request_has_its_own_time(void **state)
{
    (void)state;
    int head = client_accepted(), body = client_accepted(), slow = client_accepted();
    pass(70000);
    client_send(head, "GET /a HTTP");
    client_send(body, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1");
    client_send(slow, "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    for (unsigned i = 0; i < 9; i++) {
        pass(1000);
        client_send(slow, "x"); /* its end comes within the time */
    }
    assert_answer(slow, false, "HTTP/1.1 200 OK\r\n");
    pass(750);
    assert_open(head);
    assert_open(body);
    pass(500);
    assert_answer(head, true, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n");
    assert_answer(body, true, "HTTP/1.1 408 ");
    close(head);
    close(body);
    close(slow);
}

static void the_next_request_has_its_own_time_too(void **state)
{
    (void)state;
    int fd = client_accepted();
    for (unsigned i = 0; i < 3; i++) {
        pass(9000);
        client_send(fd, GET "GET /a HT"); /* a whole one, and the beginning of the next */
        assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
        pass(9000);
        client_send(fd, "TP/1.1\r\nHost: x\r\n\r\n");
        assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
    }
    client_send(fd, GET "GET /a HT");
    assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
    pass(10250);
    assert_answer(fd, true, "HTTP/1.1 408 ");
    close(fd);
}

static void a_changed_wall_clock_moves_no_end(void **state)
{
    (void)state;
    int idle = client_accepted(), half = client_accepted();
    client_send(half, "GET /a HT");
    pass(1000);
    wall_clock_off_s = 3600; /* longer than any time here */
    pass(1000);
    assert_open(idle);
    assert_open(half);
    wall_clock_off_s = -3600;
    pass(7500);
    assert_open(half);
    client_send(idle, GET GET);
    assert_answer(idle, false, "HTTP/1.1 200 OK\r\n");
    pass(750);
    assert_answer(half, true, "HTTP/1.1 408 ");
    pass(75000);
    assert_ended(idle);
    close(idle);
    close(half);
}

static void one_that_never_stops_sending_ends_in_time(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    for (unsigned i = 0; i < 10; i++) {
        pass(1000);
        (void)!send(fd, "xxxxxxxxxxxxxxxx", 16, MSG_NOSIGNAL);
    }
    pass(500);
    assert_answer(fd, true, "HTTP/1.1 408 ");
    assert_int_equal(http_server_connections(server), 0);
    close(fd);
}

static void a_body_after_100_continue_has_its_time(void **state)
{
    (void)state;
    static const char expecting[] = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                                    "Expect: 100-continue\r\n\r\n";
    int whole = client_accepted(), late = client_accepted();
    client_send(whole, expecting);
    client_send(late, expecting);
    assert_answer(whole, false, "HTTP/1.1 100 Continue\r\n");
    assert_answer(late, false, "HTTP/1.1 100 Continue\r\n");
    pass(9000);
    client_send(whole, "x");
    assert_answer(whole, false, "HTTP/1.1 200 OK\r\n");
    pass(1250);
    assert_answer(late, true, "HTTP/1.1 408 ");
    close(whole);
    close(late);
}

static void an_answer_under_way_has_no_time_here(void **state)
{
    (void)state;
    int fd = client_accepted();
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(100000);
    assert_non_null(held);
    answer(held);
    assert_answer(fd, false, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

/* As many connections as there may be, each with half a request; returns a further one that has
 * sent a whole request. */
static int one_more_than_half_sent(int fds[10])
{
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = client_accepted();
        client_send(fds[i], "GET /a HT");
    }
    int more = client_new();
    client_send(more, GET);
    return more;
}

static void close_all(const int fds[10], int more)
{
    for (unsigned i = 0; i < 10; i++)
        close(fds[i]);
    close(more);
}

/* ---- places ---- */

static void the_longest_idle_makes_place(void **state)
{
    (void)state;
    int fds[10];
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = client_accepted();
        test_clock_advance(10);
    }
    client_send(fds[0], GET); /* no longer the longest */
    assert_answer(fds[0], false, "HTTP/1.1 200 OK\r\n");
    client_send(fds[1], "GET /a HT"); /* not idle */
    int more = client_new();
    client_send(more, GET);
    assert_answer(more, false, "HTTP/1.1 200 OK\r\n");
    assert_ended(fds[2]);
    for (unsigned i = 0; i < 10; i++)
        if (i != 2)
            assert_open(fds[i]);
    close_all(fds, more);
}

static void without_an_idle_one_the_new_one_is_refused(void **state)
{
    (void)state;
    int fds[10], more = one_more_than_half_sent(fds);
    assert_answer(more, true, "HTTP/1.1 503 Service Unavailable\r\n");
    client_send(fds[0], "TP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fds[0], false, "HTTP/1.1 200 OK\r\n");
    close_all(fds, more);
}

static void a_slow_one_makes_place_where_that_is_wanted(void **state)
{
    (void)state;
    int fds[10], more = one_more_than_half_sent(fds);
    assert_answer(more, false, "HTTP/1.1 200 OK\r\n");
    assert_answer(fds[0], true, "HTTP/1.1 503 ");
    assert_open(fds[1]);
    close_all(fds, more);
}

static void what_was_sent_before_a_new_one_came_is_read_first(void **state)
{
    (void)state;
    int fds[10];
    for (unsigned i = 0; i < 10; i++) {
        fds[i] = client_new();
        assert_int_equal(send(fds[i], "GET /a HT", 9, MSG_NOSIGNAL), 9);
    }
    int more = client_new();
    assert_int_equal(send(more, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
    pass(1);
    assert_answer(more, false, "HTTP/1.1 200 OK\r\n");
    close_all(fds, more);
}

static void bodies_have_a_budget(void **state)
{
    (void)state;
    static const char head[] = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n";
    static char half[50000];
    memset(half, 'x', sizeof(half) - 1);
    int fds[4];
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = client_accepted();
        client_send(fds[i], head);
        if (i < 3) /* 64 KiB each */
            client_send(fds[i], half);
        for (unsigned turns = 0; turns < 5; turns++)
            turn(1);
    }
    assert_int_equal(atomic_load(&bodies.used_bytes), 3 * 65536);
    client_send(fds[3], half);
    assert_answer(fds[3], true, "HTTP/1.1 503 Service Unavailable\r\n");
    int small = client_accepted();
    client_send(small, GET);
    assert_answer(small, false, "HTTP/1.1 200 OK\r\n");
    client_send(fds[0], half); /* its buffer doubles */
    assert_answer(fds[0], true, "HTTP/1.1 503 ");
    client_send(fds[1], half); /* there is place for one now */
    assert_answer(fds[1], false, "HTTP/1.1 200 OK\r\n");
    close(fds[0]);
    close(fds[1]);
    close(fds[2]);
    close(fds[3]);
    close(small);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() */
    const struct CMUnitTest tests[] = {
        TEST(an_idle_connection_is_kept_for_its_time),
        TEST(a_request_has_its_own_time),
        TEST(the_next_request_has_its_own_time_too),
        TEST(a_changed_wall_clock_moves_no_end),
        TEST(one_that_never_stops_sending_ends_in_time),
        TEST(a_body_after_100_continue_has_its_time),
        TEST(an_answer_under_way_has_no_time_here),
        TEST(the_longest_idle_makes_place),
        TEST(without_an_idle_one_the_new_one_is_refused),
        cmocka_unit_test_setup_teardown(a_slow_one_makes_place_where_that_is_wanted,
                                        set_up_ends_slow, tear_down),
        cmocka_unit_test_setup_teardown(what_was_sent_before_a_new_one_came_is_read_first,
                                        set_up_ends_slow, tear_down),
        TEST(bodies_have_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
