/* The client against schedulers played by the test: ROUTERs on the client's own loop. */
#include "proto/refresh_message.h"
#include "services/base/clock.h"
#include "services/gateway/adapters/scheduler_client.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/name_service.h"
#include <czmq.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 30000 /* only a hang takes so long */
#define SCHEDULERS 2
#define ATTEMPTS 5 /* at a case that a machine which stands still for a second spoils */

enum manner {
    ANSWERS_DONE,
    ANSWERS_FAILED,
    ANSWERS_DONE_LATE, /* accepted at once, done after 1.5 s, nothing between */
    ANSWERS_NONSENSE_FIRST,
    DECLINES,
    IS_SILENT,
    IS_SILENT_AND_FAILS_LATE, /* when the other one, which the client has gone on to, is done */
    IS_ABSENT,
};

struct fake_scheduler {
    struct fixture *fixture;
    enum manner manner;
    zsock_t *socket; /* NULL: absent */
    struct loop_watch *watch;
    int requests;
    uint8_t asker[256];
    size_t asker_len;
    uint64_t request_id, first_request_id; /* the latest; the first */
};

struct fixture {
    struct event_loop *loop;
    struct loop_timer *tick, *late;
    struct sales_refresh *client;
    struct fake_scheduler schedulers[SCHEDULERS];
    int answers[SALES_REFRESH_TIMEOUT + 1], answered;
    int states, ups;
    bool up;
};

static void send_bytes(struct fake_scheduler *scheduler, const void *bytes, size_t len, int flags)
{
    void *socket = zsock_resolve(scheduler->socket);
    (void)zmq_send(socket, scheduler->asker, scheduler->asker_len, ZMQ_SNDMORE);
    (void)zmq_send(socket, bytes, len, flags);
}

static void send_answer(struct fake_scheduler *scheduler, uint64_t id, enum refresh_state state)
{
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    const struct refresh_answer answer = {.request_id = id, .state = state};
    send_bytes(scheduler, message, refresh_answer_encode(&answer, message), 0);
}

static void send_nonsense(struct fake_scheduler *scheduler)
{
    char large[REFRESH_MESSAGE_MAX_BYTES] = {0};
    send_bytes(scheduler, "", 0, 0);
    send_bytes(scheduler, "\xdd\xff\xff\xff\xff", 5, 0);
    send_bytes(scheduler, large, sizeof large, 0);
    send_answer(scheduler, scheduler->request_id + 1000, REFRESH_ANSWER_FAILED); /* nobody's */
    send_bytes(scheduler, "\x95\x01\x04\x01\x04\xa0", 6, ZMQ_SNDMORE);           /* two frames */
    (void)zmq_send(zsock_resolve(scheduler->socket), "", 0, 0);
}

static void on_late(void *arg)
{
    struct fixture *f = arg;
    for (size_t i = 0; i < SCHEDULERS; i++) {
        struct fake_scheduler *scheduler = &f->schedulers[i];
        if (scheduler->manner == ANSWERS_DONE_LATE)
            send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_DONE);
        else if (scheduler->manner == IS_SILENT_AND_FAILS_LATE)
            send_answer(scheduler, scheduler->first_request_id, REFRESH_ANSWER_FAILED);
    }
}

static void on_request(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct fake_scheduler *scheduler = arg;
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    struct error err;
    scheduler->asker_len = (size_t)zmq_recv(zsock_resolve(scheduler->socket), scheduler->asker,
                                            sizeof scheduler->asker, 0);
    int len = zmq_recv(zsock_resolve(scheduler->socket), message, sizeof message, 0);
    assert_int_equal(refresh_request_decode(message, (size_t)len, &scheduler->request_id, &err), 0);
    if (scheduler->requests++ == 0)
        scheduler->first_request_id = scheduler->request_id;
    switch (scheduler->manner) {
    case ANSWERS_NONSENSE_FIRST:
        send_nonsense(scheduler);
        /* fall through */
    case ANSWERS_DONE:
        send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_ACCEPTED);
        send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_DONE);
        break;
    case ANSWERS_FAILED:
        send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_FAILED);
        break;
    case ANSWERS_DONE_LATE:
        send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_ACCEPTED);
        loop_timer_start(scheduler->fixture->late, 1500);
        break;
    case DECLINES:
        send_answer(scheduler, scheduler->request_id, REFRESH_ANSWER_DECLINED);
        break;
    case IS_SILENT:
    case IS_SILENT_AND_FAILS_LATE:
    case IS_ABSENT:
        break;
    }
}

static void on_tick(void *arg)
{
    struct fixture *f = arg;
    event_loop_stop(f->loop);
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct fixture *f = arg;
    assert_int_equal(up, reason == NULL);
    assert_true(f->states == 0 || up != f->up); /* once per change */
    f->states++;
    f->ups += up;
    f->up = up;
}

static void on_done(void *arg, enum sales_refresh_status status)
{
    struct fixture *f = arg;
    f->answers[status]++;
    f->answered++;
}

static void turn(struct fixture *f)
{
    loop_timer_start(f->tick, 5);
    event_loop_run(f->loop);
}

static void turn_for(struct fixture *f, int64_t for_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + for_ms;
    while (clock_monotonic_ms() < deadline_ms)
        turn(f);
}

static void turn_until_up(struct fixture *f, bool up)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (f->states == 0 || f->up != up) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        turn(f);
    }
}

static void turn_until_answered(struct fixture *f, int count)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (f->answered < count) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        turn(f);
    }
}

/* An address of this host that no other process uses, so that nobody else comes to listen on a port
 * that was left. */
static const char *own_address(void)
{
    static char address[16];
    unsigned pid = (unsigned)getpid();
    (void)snprintf(address, sizeof address, "127.%u.%u.%u", 1 + pid / 62500 % 250,
                   1 + pid / 250 % 250, 1 + pid % 250);
    return address;
}

/* The client knows the first scheduler as `host`. */
static struct fixture *fixture_new_at(const char *host, enum manner first, enum manner second)
{
    struct fixture *f = calloc(1, sizeof *f);
    const enum manner manners[SCHEDULERS] = {first, second};
    char endpoints[128] = "";
    zsys_handler_set(NULL);
    f->loop = event_loop_new();
    f->tick = event_loop_timer(f->loop, on_tick, f);
    f->late = event_loop_timer(f->loop, on_late, f);
    for (size_t i = 0; i < SCHEDULERS; i++) {
        struct fake_scheduler *scheduler = &f->schedulers[i];
        scheduler->fixture = f;
        scheduler->manner = manners[i];
        scheduler->socket = zsock_new(ZMQ_ROUTER);
        zsock_set_sndhwm(scheduler->socket, 0); /* it would lose answers */
        int port = zsock_bind(scheduler->socket, "tcp://%s:*", own_address());
        assert_true(port > 0);
        size_t len = strlen(endpoints);
        (void)snprintf(endpoints + len, sizeof endpoints - len, "%stcp://%s:%d", i == 0 ? "" : ", ",
                       i == 0 ? host : own_address(), port);
        if (manners[i] == IS_ABSENT) {
            zsock_destroy(&scheduler->socket);
            continue;
        }
        scheduler->watch = event_loop_watch_zmq(f->loop, scheduler->socket, on_request, scheduler);
        loop_watch_want(scheduler->watch, true, false);
    }
    const struct scheduler_client_options options = {endpoints, on_state, f};
    f->client = scheduler_client_new(f->loop, &options);
    return f;
}

static struct fixture *fixture_new(enum manner first, enum manner second)
{
    return fixture_new_at(own_address(), first, second);
}

static void fixture_free(struct fixture *f)
{
    scheduler_client_free(f->client);
    for (size_t i = 0; i < SCHEDULERS; i++) {
        loop_watch_free(f->schedulers[i].watch);
        zsock_destroy(&f->schedulers[i].socket);
    }
    loop_timer_free(f->tick);
    loop_timer_free(f->late);
    event_loop_free(f->loop);
    free(f);
}

static int refresh(struct fixture *f)
{
    int before = f->answered;
    int result = f->client->refresh(f->client->self, on_done, f);
    assert_int_equal(f->answered, before); /* never from inside the call */
    return result;
}

struct request_case {
    enum manner first, second;
    enum sales_refresh_status status;
    int first_requests, second_requests;
    int64_t min_ms, max_ms;
};

/* Returns whether all was as expected, or else a text in `ret_difference`. */
static bool request_goes_as(const struct request_case *expected, char *ret_difference, size_t size)
{
    struct fixture *f = fixture_new(expected->first, expected->second);
    turn_until_up(f, expected->first != IS_ABSENT || expected->second != IS_ABSENT);
    turn_for(f, 50); /* both connected by then */
    int64_t began_ms = clock_monotonic_ms();
    assert_int_equal(refresh(f), 0);
    turn_until_answered(f, 1);
    int64_t took_ms = clock_monotonic_ms() - began_ms;
    bool asked = f->schedulers[0].requests == expected->first_requests &&
                 f->schedulers[1].requests == expected->second_requests;
    if (asked)
        assert_true(took_ms >= expected->min_ms);
    bool same = asked && f->answers[expected->status] == 1 && took_ms <= expected->max_ms;
    (void)snprintf(ret_difference, size, "%d %d %d %d after %lld ms, asked %d and %d",
                   f->answers[0], f->answers[1], f->answers[2], f->answers[3], (long long)took_ms,
                   f->schedulers[0].requests, f->schedulers[1].requests);
    fixture_free(f);
    return same;
}

static void test_one_request(void **state)
{
    (void)state;
    static const struct request_case cases[] = {
        {ANSWERS_DONE, ANSWERS_FAILED, SALES_REFRESH_DONE, 1, 0, 0, 900},
        {ANSWERS_FAILED, ANSWERS_DONE, SALES_REFRESH_FAILED, 1, 0, 0, 900},
        {ANSWERS_NONSENSE_FIRST, ANSWERS_FAILED, SALES_REFRESH_DONE, 1, 0, 0, 900},
        {ANSWERS_DONE_LATE, ANSWERS_FAILED, SALES_REFRESH_DONE, 1, 0, 1400, 3000},
        {DECLINES, ANSWERS_DONE, SALES_REFRESH_DONE, 1, 1, 0, 900},
        {IS_ABSENT, ANSWERS_DONE, SALES_REFRESH_DONE, 0, 1, 0, 900},
        {IS_SILENT, ANSWERS_DONE, SALES_REFRESH_DONE, 1, 1, 900, 2500},
        {IS_SILENT, DECLINES, SALES_REFRESH_UNAVAILABLE, 2, 2, 1800, 4000},
        {IS_ABSENT, IS_ABSENT, SALES_REFRESH_UNAVAILABLE, 0, 0, 3800, 7000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char difference[128];
        int attempts = 1;
        while (!request_goes_as(&cases[i], difference, sizeof difference)) {
            print_message("           case %zu: %s\n", i, difference);
            if (attempts++ == ATTEMPTS)
                fail_msg("case %zu: %s", i, difference);
        }
    }
}

static void test_a_late_answer_of_the_one_given_up_is_nobodys(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(IS_SILENT_AND_FAILS_LATE, ANSWERS_DONE_LATE);
    turn_until_up(f, true);
    turn_for(f, 100);
    assert_int_equal(refresh(f), 0);
    turn_until_answered(f, 1);
    assert_int_equal(f->answers[SALES_REFRESH_DONE], 1);
    for (int n = 0; n < 20; n++)
        turn(f);
    assert_int_equal(f->answered, 1);
    fixture_free(f);
}

static void test_many_at_once_and_no_more_than_that(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(ANSWERS_DONE, IS_ABSENT);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < SCHEDULER_CLIENT_MAX_WAITING; i++)
            assert_int_equal(refresh(f), 0);
        assert_int_equal(refresh(f), -1);
        turn_until_answered(f, round * SCHEDULER_CLIENT_MAX_WAITING);
        assert_int_equal(f->answers[SALES_REFRESH_DONE], round * SCHEDULER_CLIENT_MAX_WAITING);
    }
    fixture_free(f);
}

static void test_state_is_told_once_per_change(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(ANSWERS_DONE, IS_ABSENT);
    turn_until_up(f, true);
    turn_for(f, 1500);
    assert_true(f->up);
    assert_int_equal(f->ups, 1);

    loop_watch_free(f->schedulers[0].watch);
    f->schedulers[0].watch = NULL;
    zsock_destroy(&f->schedulers[0].socket);
    turn_until_up(f, false);
    turn_for(f, 1500);
    assert_false(f->up);
    assert_int_equal(f->ups, 1);
    fixture_free(f);
}

static void test_freed_with_callers_waiting(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(IS_SILENT, IS_SILENT);
    for (int i = 0; i < 10; i++)
        assert_int_equal(refresh(f), 0);
    turn(f);
    fixture_free(f); /* AddressSanitizer looks on */
}

static void test_a_name_without_an_answer_holds_up_no_other_scheduler(void **state)
{
    (void)state;
    name_service_be_silent();
    struct fixture *f = fixture_new_at("slow.test", ANSWERS_DONE, ANSWERS_DONE);
    assert_int_equal(refresh(f), 0);
    turn_until_answered(f, 1);
    name_service_speak();
    assert_int_equal(f->answers[SALES_REFRESH_DONE], 1);
    assert_int_equal(f->schedulers[0].requests, 0);
    fixture_free(f);
}

static void test_a_name_is_looked_up_until_it_is_found(void **state)
{
    (void)state;
    struct fixture *f = fixture_new_at("found.test", ANSWERS_DONE, IS_ABSENT);
    const char *const addresses[] = {"127.0.0.2", own_address()}; /* nobody is at the first */
    for (size_t i = 0; i < COUNT(addresses); i++) {
        assert_int_equal(refresh(f), 0);
        turn_until_answered(f, (int)i + 1);
        assert_int_equal(f->answers[SALES_REFRESH_UNAVAILABLE], i + 1);
        name_service_set(addresses[i]);
    }
    turn_until_up(f, true);
    assert_int_equal(refresh(f), 0);
    turn_until_answered(f, 3);
    assert_int_equal(f->answers[SALES_REFRESH_DONE], 1);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request),
        cmocka_unit_test(test_a_late_answer_of_the_one_given_up_is_nobodys),
        cmocka_unit_test(test_many_at_once_and_no_more_than_that),
        cmocka_unit_test(test_state_is_told_once_per_change),
        cmocka_unit_test(test_freed_with_callers_waiting),
        cmocka_unit_test(test_a_name_without_an_answer_holds_up_no_other_scheduler),
        cmocka_unit_test(test_a_name_is_looked_up_until_it_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
