/* The real socket, asked by a raw ZeroMQ client. */
#include "services/base/clock.h"
#include "services/base/metrics.h"
#include "services/loop/event_loop.h"
#include "services/scheduler/refresh_requests.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 30000       /* only a hang takes so long */
#define ASKER_REQUESTS 1000 /* that may wait on one connection, as PROTOCOL.md says */
#define CROWD (REFRESH_REQUESTS_MAX / ASKER_REQUESTS)

struct fixture {
    struct event_loop *loop;
    struct loop_timer *tick;
    struct refresh_requests *requests;
    zsock_t *asker;
    zsock_t *crowd[CROWD]; /* NULL: not there */
    int64_t began_ms;
    char endpoint[64];
    uint64_t attempt; /* that requests are told to belong to */
    int requested;
};

static uint64_t on_request(void *arg)
{
    struct fixture *f = arg;
    f->requested++;
    return f->attempt;
}

static void on_tick(void *arg)
{
    struct fixture *f = arg;
    event_loop_stop(f->loop);
}

static void turn(struct fixture *f)
{
    loop_timer_start(f->tick, 5);
    event_loop_run(f->loop);
}

static zsock_t *new_asker(const struct fixture *f)
{
    zsock_t *asker = zsock_new(ZMQ_DEALER);
    zsock_set_sndhwm(asker, 0);
    zsock_set_rcvhwm(asker, 0);
    assert_int_equal(zsock_connect(asker, "%s", f->endpoint), 0);
    return asker;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    zsys_handler_set(NULL);
    f->attempt = 1;
    f->loop = event_loop_new();
    f->tick = event_loop_timer(f->loop, on_tick, f);
    (void)snprintf(f->endpoint, sizeof f->endpoint, "ipc:///tmp/refresh-requests-%d", getpid());
    f->began_ms = clock_monotonic_ms();
    f->requests = refresh_requests_new(f->loop, f->endpoint, on_request, f, &err);
    assert_non_null(f->requests);
    f->asker = new_asker(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    zsock_destroy(&f->asker);
    for (size_t i = 0; i < CROWD; i++)
        zsock_destroy(&f->crowd[i]);
    refresh_requests_free(f->requests);
    loop_timer_free(f->tick);
    event_loop_free(f->loop);
    free(f);
    return 0;
}

static void ask(zsock_t *asker, uint64_t id)
{
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    size_t len = refresh_request_encode(id, message);
    assert_int_equal(zmq_send(zsock_resolve(asker), message, len, 0), len);
}

/* Turn the loop until an answer comes. */
static struct refresh_answer next_answer(struct fixture *f, zsock_t *asker)
{
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    struct refresh_answer answer;
    struct error err;
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    int len;
    while ((len = zmq_recv(zsock_resolve(asker), message, sizeof message, ZMQ_DONTWAIT)) < 0) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        turn(f);
    }
    assert_int_equal(refresh_answer_decode(message, (size_t)len, &answer, &err), 0);
    return answer;
}

/* The same, past those that tell that the scheduler is alive: they come when they are due. */
static struct refresh_answer next_telling_answer(struct fixture *f, zsock_t *asker)
{
    struct refresh_answer answer;
    do
        answer = next_answer(f, asker);
    while (answer.state == REFRESH_ANSWER_WAITING);
    return answer;
}

static void expect_answer(struct fixture *f, uint64_t id, enum refresh_state state)
{
    struct refresh_answer answer = next_telling_answer(f, f->asker);
    assert_int_equal(answer.request_id, id);
    assert_string_equal(refresh_state_name(answer.state), refresh_state_name(state));
}

/* `ASKER_REQUESTS` answers of one kind, in the order of the requests. */
static void expect_answers(struct fixture *f, zsock_t *asker, enum refresh_state state)
{
    for (uint64_t id = 0; id < ASKER_REQUESTS; id++) {
        struct refresh_answer answer = next_telling_answer(f, asker);
        assert_string_equal(refresh_state_name(answer.state), refresh_state_name(state));
        if (state == REFRESH_ANSWER_ACCEPTED)
            assert_int_equal(answer.request_id, id);
    }
}

static void turn_until_waiting(struct fixture *f, size_t count)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (refresh_requests_waiting(f->requests) != count) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        turn(f);
    }
}

static void test_accepted_kept_alive_and_answered(void **state)
{
    struct fixture *f = *state;
    ask(f->asker, 7);
    expect_answer(f, 7, REFRESH_ANSWER_ACCEPTED);
    assert_int_equal(f->requested, 1);
    assert_int_equal(refresh_requests_waiting(f->requests), 1);

    /* Every second; one that the machine holds up is followed by one that it does not. */
    int64_t last_ms = f->began_ms, apart_ms = INT64_MAX;
    for (int n = 0; n < 20 && (n < 2 || apart_ms > 1500); n++) {
        struct refresh_answer waiting = next_answer(f, f->asker);
        assert_int_equal(waiting.request_id, 7);
        assert_int_equal(waiting.state, REFRESH_ANSWER_WAITING);
        apart_ms = clock_monotonic_ms() - last_ms;
        last_ms += apart_ms;
        assert_true(last_ms - f->began_ms >= 1000 * (n + 1) - 10);
    }
    assert_in_range(apart_ms, 0, 1500);

    refresh_requests_answer(f->requests, 1, REFRESH_ANSWER_FAILED, "statement timeout");
    struct refresh_answer answer = next_telling_answer(f, f->asker);
    assert_int_equal(answer.state, REFRESH_ANSWER_FAILED);
    assert_string_equal(answer.detail, "statement timeout");
    assert_int_equal(refresh_requests_waiting(f->requests), 0);
}

static void test_only_those_of_the_attempt_are_answered(void **state)
{
    struct fixture *f = *state;
    ask(f->asker, 1);
    expect_answer(f, 1, REFRESH_ANSWER_ACCEPTED);
    f->attempt = 2; /* attempt 1 has begun */
    ask(f->asker, 2);
    expect_answer(f, 2, REFRESH_ANSWER_ACCEPTED);

    refresh_requests_answer(f->requests, 1, REFRESH_ANSWER_DONE, "");
    expect_answer(f, 1, REFRESH_ANSWER_DONE);
    assert_int_equal(refresh_requests_waiting(f->requests), 1);
    refresh_requests_answer(f->requests, 2, REFRESH_ANSWER_DONE, "");
    expect_answer(f, 2, REFRESH_ANSWER_DONE);
    assert_int_equal(refresh_requests_waiting(f->requests), 0);
}

static void test_an_asker_that_is_gone_is_forgotten(void **state)
{
    struct fixture *f = *state;
    zsock_t *other = new_asker(f);
    ask(other, 1);
    turn_until_waiting(f, 1);
    zsock_destroy(&other);
    turn_until_waiting(f, 0);
}

static void test_declined_when_stopping(void **state)
{
    struct fixture *f = *state;
    refresh_requests_close(f->requests);
    ask(f->asker, 9);
    expect_answer(f, 9, REFRESH_ANSWER_DECLINED);
    assert_int_equal(f->requested, 0);
}

/* All that may wait on one connection get all their answers, although they come at once. */
static void test_as_many_as_may_wait_are_answered_at_once(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 0; id < ASKER_REQUESTS; id++)
        ask(f->asker, id);
    turn_until_waiting(f, ASKER_REQUESTS);
    refresh_requests_answer(f->requests, 1, REFRESH_ANSWER_DONE, "");
    assert_int_equal(refresh_requests_waiting(f->requests), 0);
    expect_answers(f, f->asker, REFRESH_ANSWER_ACCEPTED);
    expect_answers(f, f->asker, REFRESH_ANSWER_DONE);
}

static void test_declined_when_too_many_wait(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < CROWD; i++) {
        f->crowd[i] = new_asker(f);
        for (uint64_t id = 0; id < ASKER_REQUESTS; id++)
            ask(f->crowd[i], id);
    }
    turn_until_waiting(f, REFRESH_REQUESTS_MAX);
    ask(f->asker, 1);
    expect_answer(f, 1, REFRESH_ANSWER_DECLINED);
    for (size_t i = 0; i < CROWD; i++)
        expect_answers(f, f->crowd[i], REFRESH_ANSWER_ACCEPTED);
    assert_int_equal(refresh_requests_waiting(f->requests), REFRESH_REQUESTS_MAX);
}

static void test_hostile_messages_are_dropped(void **state)
{
    struct fixture *f = *state;
    void *socket = zsock_resolve(f->asker);
    struct metric_counter *dropped = metric_counter("scheduler_messages_dropped_total", NULL, "");
    uint64_t before = metric_count(dropped);
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES] = {0};
    size_t len = refresh_request_encode(1, message);

    assert_int_equal(zmq_send(socket, "", 0, 0), 0);
    assert_int_equal(zmq_send(socket, "\xdd\xff\xff\xff\xff", 5, 0), 5);
    assert_int_equal(zmq_send(socket, message, sizeof message, 0), sizeof message);
    assert_int_equal(zmq_send(socket, message, len, ZMQ_SNDMORE), len); /* and one frame more */
    assert_int_equal(zmq_send(socket, "", 0, 0), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zmq_send(socket, "m", 1, ZMQ_SNDMORE), 1);
    assert_int_equal(zmq_send(socket, "", 0, 0), 0);
    ask(f->asker, 3);
    expect_answer(f, 3, REFRESH_ANSWER_ACCEPTED);
    assert_int_equal(metric_count(dropped) - before, 5);
    assert_int_equal(f->requested, 1);
}

static void test_an_address_in_use_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error err = {""};
    zsock_t *other = zsock_new(ZMQ_ROUTER);
    char endpoint[64];
    int port = zsock_bind(other, "tcp://127.0.0.1:*");
    assert_true(port > 0);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
    assert_null(refresh_requests_new(f->loop, endpoint, on_request, f, &err));
    assert_string_equal(err.message, "SCHEDULER_BIND: Address already in use");
    zsock_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_accepted_kept_alive_and_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_those_of_the_attempt_are_answered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_asker_that_is_gone_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_declined_when_stopping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_as_many_as_may_wait_are_answered_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_declined_when_too_many_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_messages_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_address_in_use_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
