/* A worker's sockets against those of a bridge, over TCP, in one process. */
#include "services/base/metrics.h"
#include "services/worker/bridge_link.h"
#include "services/worker/link_socket.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char directory[64], text[128];
    unsigned port;
    struct endpoint_list list;
    struct bridge_endpoints endpoints;
    zsock_t *jobs, *replies;                 /* the bridge's */
    const struct link_key *key, *bridge_key; /* the worker's and the bridge's; NULL: none */
    zsock_t *zap;                            /* the bridge's judge of keys */
    struct event_loop *loop;
    struct bridge_link *link;
    unsigned connected, losses, readable, refusals;
    const char *refusal;
    struct job job;
};

/* A bridge that was killed leaves its ports a little later. */
static void bind_when_free(zsock_t *socket, const char *endpoint)
{
    wait_until(zsock_bind(socket, "%s", endpoint) >= 0, {
        assert_int_equal(errno, EADDRINUSE);
        usleep(1000);
    });
}

static void bind_bridge(struct fixture *fixture)
{
    fixture->jobs = link_socket_new(LINK_JOBS_TO_WORKERS, fixture->bridge_key);
    fixture->replies = link_socket_new(LINK_REPLIES_FROM_WORKERS, fixture->bridge_key);
    zsock_set_sndtimeo(fixture->jobs, PATIENCE_MS);
    zsock_set_rcvtimeo(fixture->replies, PATIENCE_MS);
    bind_when_free(fixture->jobs, fixture->endpoints.jobs[STAGE_PERSIST]);
    bind_when_free(fixture->replies, fixture->endpoints.reply);
}

static void kill_bridge(struct fixture *fixture)
{
    zsock_destroy(&fixture->jobs);
    zsock_destroy(&fixture->replies);
}

static void on_readable(void *arg)
{
    struct fixture *fixture = arg;
    fixture->readable++;
}

static void on_connected(void *arg, unsigned connected)
{
    struct fixture *fixture = arg;
    fixture->losses += connected < fixture->connected;
    fixture->connected = connected;
}

static void on_refused(void *arg, const char *reason)
{
    struct fixture *fixture = arg;
    fixture->refusals++;
    fixture->refusal = reason;
}

/* The bridge lets in who has its key: every request of CURVE's (RFC 27) is one of it. */
static void answer_zap(struct fixture *fixture)
{
    while (fixture->zap != NULL && (zsock_events(fixture->zap) & ZMQ_POLLIN) != 0) {
        zmsg_t *request = zmsg_recv(fixture->zap);
        zframe_t *key = zmsg_last(request);
        bool member = zframe_size(key) == sizeof fixture->bridge_key->public_bytes &&
                      memcmp(zframe_data(key), fixture->bridge_key->public_bytes,
                             sizeof fixture->bridge_key->public_bytes) == 0;
        (void)zmsg_first(request);
        char *id = zframe_strdup(zmsg_next(request));
        assert_int_equal(
            zstr_sendx(fixture->zap, "1.0", id, member ? "200" : "400", "", "", "", NULL), 0);
        free(id);
        zmsg_destroy(&request);
    }
}

/* Time passes faster than it does, but slowly enough for libzmq, whose threads exchange heartbeats
 * by the same clock. */
static void turn(struct fixture *fixture)
{
    event_loop_turn(fixture->loop, 5);
    answer_zap(fixture);
    test_clock_advance(25);
}

static void wait_connected(struct fixture *fixture, unsigned count)
{
    wait_until(fixture->connected == count, turn(fixture));
}

/* A connection has been lost; it may be there again. */
static void wait_lost(struct fixture *fixture)
{
    wait_until(fixture->losses > 0, turn(fixture));
}

static void read_job(struct fixture *fixture)
{
    wait_until(bridge_link_read(fixture->link, 0, &fixture->job), turn(fixture));
}

static void bind_bridge_to(struct fixture *fixture, const char *text)
{
    struct error err;
    assert_int_equal(bridge_endpoints_parse(text, &fixture->endpoints, &err), 0);
    bind_bridge(fixture);
}

/* A bridge at `text`, and a link to `bridges`. */
static void make(struct fixture *fixture, const char *text, const char *bridges)
{
    struct error err;
    zsys_handler_set(NULL);
    if (fixture->bridge_key != NULL) {
        fixture->zap = zsock_new(ZMQ_REP);
        assert_int_equal(zsock_bind(fixture->zap, "inproc://zeromq.zap.01"), 0);
    }
    assert_int_equal(endpoint_list_parse(bridges, &fixture->list, &err), 0);
    bind_bridge_to(fixture, text);
    fixture->loop = event_loop_new();
    fixture->link = bridge_link_new(&(struct bridge_link_options){.loop = fixture->loop,
                                                                  .bridges = &fixture->list,
                                                                  .stage = STAGE_PERSIST,
                                                                  .on_readable = on_readable,
                                                                  .key = fixture->key,
                                                                  .on_connected = on_connected,
                                                                  .on_refused = on_refused,
                                                                  .arg = fixture},
                                    &err);
    assert_non_null(fixture->link);
    bridge_link_connect(fixture->link);
    bridge_link_want_jobs(fixture->link, true);
}

/* A bridge, which the link knows as `host` and in the list of bridges has `others` behind it. */
static int setup(void **state, const char *host, const char *others)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char bridges[128];
    assert_non_null(fixture);
    fixture->port = loopback_free_ports(3);
    snprintf(fixture->text, sizeof(fixture->text), "tcp://127.0.0.1:%u", fixture->port);
    snprintf(bridges, sizeof(bridges), "tcp://%s:%u%s", host, fixture->port, others);
    make(fixture, fixture->text, bridges);
    *state = fixture;
    return 0;
}

static int setup_tcp(void **state)
{
    return setup(state, "127.0.0.1", "");
}

static struct link_key key, other_key;

static int setup_with_keys(void **state, const struct link_key *of_worker,
                           const struct link_key *of_bridge)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->key = of_worker;
    fixture->bridge_key = of_bridge;
    fixture->port = loopback_free_ports(3);
    snprintf(fixture->text, sizeof(fixture->text), "tcp://127.0.0.1:%u", fixture->port);
    make(fixture, fixture->text, fixture->text);
    *state = fixture;
    return 0;
}

static int setup_key(void **state)
{
    return setup_with_keys(state, &key, &key);
}

static int setup_other_key(void **state)
{
    return setup_with_keys(state, &key, &other_key);
}

static int setup_key_at_worker(void **state)
{
    return setup_with_keys(state, &key, NULL);
}

static int setup_key_at_bridge(void **state)
{
    return setup_with_keys(state, NULL, &key);
}

static int setup_slow_name(void **state)
{
    name_service_be_silent();
    return setup(state, "127.0.0.1", ",tcp://slow.test:7100");
}

static int setup_name(void **state)
{
    name_service_set(NULL);
    return setup(state, "found.test", "");
}

/* Nobody answers at the first address of its name. */
static int setup_name_of_two(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char text[64], bridges[64];
    assert_non_null(fixture);
    fixture->port = loopback_free_ports(3);
    snprintf(text, sizeof(text), "tcp://[::1]:%u", fixture->port);
    snprintf(bridges, sizeof(bridges), "tcp://found.test:%u", fixture->port);
    name_service_set("127.0.0.9,::1");
    make(fixture, text, bridges);
    *state = fixture;
    return 0;
}

static int setup_ipv6(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char text[64], bridges[64];
    assert_non_null(fixture);
    fixture->port = loopback_free_ports(3);
    snprintf(text, sizeof(text), "tcp://[::]:%u", fixture->port);
    snprintf(bridges, sizeof(bridges), "tcp://[::1]:%u,tcp://127.0.0.1:%u", fixture->port,
             fixture->port);
    make(fixture, text, bridges);
    *state = fixture;
    return 0;
}

static int setup_ipc(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->directory, "/tmp/test-bridge-link-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->text, sizeof(fixture->text), "ipc://%s/bridge", fixture->directory);
    make(fixture, fixture->text, fixture->text);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    bridge_link_free(fixture->link);
    kill_bridge(fixture);
    if (fixture->zap)
        zsock_unbind(fixture->zap, "inproc://zeromq.zap.01");
    zsock_destroy(&fixture->zap);
    event_loop_free(fixture->loop);
    if (fixture->directory[0] != '\0') {
        static const char *const names[] = {"persist", "index", "reply"};
        for (size_t i = 0; i < 3; i++) {
            char path[128];
            snprintf(path, sizeof(path), "%s/bridge.%s", fixture->directory, names[i]);
            (void)unlink(path); /* the index socket was never bound */
        }
        assert_int_equal(rmdir(fixture->directory), 0);
    }
    free(fixture);
    return 0;
}

static size_t encode_job(uint64_t tag, enum stage stage, uint8_t buffer[FRAME_MAX_BYTES])
{
    struct job_route route = {.incarnation = {1, 2, 3}, .epoch = 4, .stage = stage};
    struct order order = {.amount_cents = 100, .created_at_us = 5};
    order_set_name(&order, "x", 1);
    struct job_item item = {.delivery_tag = tag, .attempt = 1, .order = &order};
    return job_encode(&route, &item, 1, buffer);
}

static void send_job(struct fixture *fixture, uint64_t tag, enum stage stage)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    size_t len = encode_job(tag, stage, buffer);
    assert_int_equal(zmq_send(zsock_resolve(fixture->jobs), buffer, len, 0), len);
}

static void reply_done(struct fixture *fixture, uint64_t tag)
{
    struct job_route route = {
        .incarnation = {1, 2, 3}, .epoch = 4, .stage = STAGE_PERSIST, .version = FRAME_VERSION};
    struct reply_item item = {
        .delivery_tag = tag, .attempt = 1, .verdict = {.outcome = OUTCOME_DONE}};
    bridge_link_reply(fixture->link, 0, &route, &item, 1);
}

static uint64_t receive_reply(struct fixture *fixture)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    static struct reply_item items[REPLY_MAX_ITEMS];
    struct job_route route;
    size_t count;
    int len = zmq_recv(zsock_resolve(fixture->replies), buffer, sizeof(buffer), 0);
    assert_true(len > 0);
    assert_int_equal(reply_decode(buffer, (size_t)len, &route, items, &count, NULL), 0);
    assert_int_equal(count, 1);
    return items[0].delivery_tag;
}

static uint64_t count_of(const char *name)
{
    return metric_count(metric_counter(name, NULL, ""));
}

static void a_job_there_and_a_reply_back(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    send_job(fixture, 7, STAGE_PERSIST);
    read_job(fixture);
    assert_int_equal(fixture->job.count, 1);
    assert_int_equal(fixture->job.items[0].delivery_tag, 7);
    assert_int_equal(fixture->job.route.epoch, 4);
    reply_done(fixture, 7);
    assert_int_equal(receive_reply(fixture), 7);
}

static void senseless_jobs_are_dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    uint64_t before = count_of("worker_bridge_malformed_jobs_total");
    void *jobs = zsock_resolve(fixture->jobs);
    static uint8_t buffer[FRAME_MAX_BYTES];
    size_t len = encode_job(1, STAGE_PERSIST, buffer);
    zmq_send(jobs, "garbage", 7, 0);
    zmq_send(jobs, "", 0, 0);
    zmq_send(jobs, buffer, len, ZMQ_SNDMORE); /* several frames: dropped whole */
    zmq_send(jobs, buffer, len, ZMQ_SNDMORE);
    zmq_send(jobs, buffer, len, 0);
    send_job(fixture, 2, STAGE_INDEX);
    send_job(fixture, 3, STAGE_PERSIST);
    read_job(fixture);
    assert_int_equal(fixture->job.items[0].delivery_tag, 3);
    assert_int_equal(count_of("worker_bridge_malformed_jobs_total") - before, 4);
}

/* libzmq itself would never connect again. */
static void a_bridge_that_broke_the_protocol_is_connected_to_again(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    char *huge = calloc(1, FRAME_MAX_BYTES + 1);
    assert_non_null(huge);
    zmq_send(zsock_resolve(fixture->jobs), huge, FRAME_MAX_BYTES + 1, 0);
    free(huge);
    wait_lost(fixture);
    wait_connected(fixture, 1);
    send_job(fixture, 9, STAGE_PERSIST);
    read_job(fixture);
}

static void replies_wait_for_a_bridge_that_restarts(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    kill_bridge(fixture);
    wait_connected(fixture, 0);
    while (bridge_link_unsent(fixture->link) == 0) { /* until that socket has noticed, too */
        reply_done(fixture, 999);
        turn(fixture);
    }
    uint64_t before = count_of("worker_bridge_dropped_replies_total");
    for (uint64_t tag = 1; tag <= 300; tag++)
        reply_done(fixture, tag);
    size_t unsent = bridge_link_unsent(fixture->link);
    assert_in_range(unsent, 1, 256); /* bounded: the oldest go */
    assert_int_equal(count_of("worker_bridge_dropped_replies_total") - before, 301 - unsent);
    bind_bridge(fixture);
    wait_connected(fixture, 1);
    wait_until(bridge_link_unsent(fixture->link) == 0, turn(fixture));
    for (uint64_t tag = 300 - unsent + 1; tag <= 300; tag++)
        assert_int_equal(receive_reply(fixture), tag);
}

/* Its sockets are replaced at the moment in which they become connected. */
static void a_bridge_that_comes_as_it_is_given_up_is_connected_to(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    for (unsigned i = 0; i < 30; i++) {
        kill_bridge(fixture);
        wait_connected(fixture, 0);
        test_clock_advance(4900); /* just before it is given up */
        bind_bridge(fixture);
        event_loop_turn(fixture->loop, 0);
        test_clock_advance(1100);
        usleep(i * 10);
        event_loop_turn(fixture->loop, 0);
        wait_connected(fixture, 1);
    }
}

static void unwanted_jobs_stay_where_they_are(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    bridge_link_want_jobs(fixture->link, false);
    send_job(fixture, 5, STAGE_PERSIST);
    fixture->readable = 0;
    run_loop_for(fixture->loop, 20);
    assert_int_equal(fixture->readable, 0);
    bridge_link_want_jobs(fixture->link, true);
    wait_until(fixture->readable > 0, turn(fixture));
    read_job(fixture);
}

static int teardown_slow_name(void **state)
{
    name_service_speak();
    return teardown(state);
}

static void a_name_without_an_answer_holds_up_no_other_bridge(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    kill_bridge(fixture);
    wait_connected(fixture, 0);
    bind_bridge(fixture);
    wait_connected(fixture, 1);
    send_job(fixture, 7, STAGE_PERSIST);
    read_job(fixture);
}

static void a_name_is_looked_up_until_the_bridge_is_found(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture);
    name_service_set("127.0.0.1");
    wait_connected(fixture, 1);
    kill_bridge(fixture);
    wait_connected(fixture, 0);

    char elsewhere[64];
    snprintf(elsewhere, sizeof(elsewhere), "tcp://127.0.0.2:%u", fixture->port);
    bind_bridge_to(fixture, elsewhere);
    name_service_set("127.0.0.2");
    wait_connected(fixture, 1);
    send_job(fixture, 7, STAGE_PERSIST);
    read_job(fixture);
}

static void each_address_of_a_name_is_tried(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    send_job(fixture, 7, STAGE_PERSIST);
    read_job(fixture);
    reply_done(fixture, 7);
    assert_int_equal(receive_reply(fixture), 7);
}

/* One bridge, known by two addresses. */
static void both_families_reach_a_bridge_on_any_address(void **state)
{
    wait_connected(*state, 2);
}

/* Neither jobs nor replies go to it, the worker says why, and connects once it is one of its own.
 */
static void assert_the_bridge_is_no_member(struct fixture *fixture, const char *reason)
{
    uint64_t before = count_of("worker_bridge_refusals_total");
    reply_done(fixture, 1);
    wait_until(fixture->refusals >= 2, turn(fixture));
    for (unsigned i = 0; i < 20; i++)
        turn(fixture);
    assert_string_equal(fixture->refusal, reason);
    assert_true(count_of("worker_bridge_refusals_total") >= before + 2);
    assert_int_equal(fixture->connected, 0);
    assert_int_equal(bridge_link_unsent(fixture->link), 1);
    zsock_set_sndtimeo(fixture->jobs, 0);
    assert_int_equal(zmq_send(zsock_resolve(fixture->jobs), "x", 1, 0), -1);

    kill_bridge(fixture);
    fixture->bridge_key = fixture->key;
    if (fixture->key != NULL && fixture->zap == NULL) {
        fixture->zap = zsock_new(ZMQ_REP);
        assert_int_equal(zsock_bind(fixture->zap, "inproc://zeromq.zap.01"), 0);
    }
    bind_bridge(fixture);
    wait_connected(fixture, 1);
    wait_until(bridge_link_unsent(fixture->link) == 0, turn(fixture));
}

static void a_bridge_with_another_key_is_not_used(void **state)
{
    assert_the_bridge_is_no_member(*state, "no handshake: the bridge may have another LINK_KEY");
}

static void a_bridge_is_used_only_with_a_key_like_the_workers(void **state)
{
    assert_the_bridge_is_no_member(*state, "only one of bridge and worker has a LINK_KEY");
}

/* Send this job again and again until a worker that connects anew has it. */
static void wait_job(struct fixture *fixture, uint64_t tag)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    zsock_set_sndtimeo(fixture->jobs, 0);
    wait_until(bridge_link_read(fixture->link, 0, &fixture->job), {
        (void)zmq_send(zsock_resolve(fixture->jobs), buffer, encode_job(tag, STAGE_PERSIST, buffer),
                       0);
        turn(fixture);
    });
}

/* libzmq 4.3.4 aborts when it would send a heartbeat on a connection that was lost while its queue
 * was full. */
static void a_bridge_dies_while_jobs_are_not_read(void **state)
{
    struct fixture *fixture = *state;
    wait_connected(fixture, 1);
    bridge_link_want_jobs(fixture->link, false);
    zsock_set_sndtimeo(fixture->jobs, 0);
    static const char job[FRAME_MAX_BYTES];
    for (unsigned i = 0; i < 100; i++) {
        (void)zmq_send(zsock_resolve(fixture->jobs), job, sizeof job, 0);
        turn(fixture);
    }
    kill_bridge(fixture);
    for (unsigned i = 0; i < 100; i++) /* 2.5 s; a worker reads at least every second */
        turn(fixture);
    bind_bridge(fixture);
    bridge_link_want_jobs(fixture->link, true);
    wait_job(fixture, 8);
}

static void a_job_without_end_is_cut(void **state)
{
    struct fixture *fixture = *state;
    static const char frame[FRAME_MAX_BYTES];
    uint64_t before = count_of("link_cut_connections_total");
    wait_connected(fixture, 1);
    for (unsigned left = 4000; left > 0; left--)
        assert_int_equal(zmq_send_const(zsock_resolve(fixture->jobs), frame, sizeof frame,
                                        left > 1 ? ZMQ_SNDMORE : 0),
                         sizeof frame);
    wait_until(count_of("link_cut_connections_total") > before, turn(fixture));
    wait_connected(fixture, 1);
    wait_job(fixture, 8);
    assert_int_equal(fixture->job.items[0].delivery_tag, 8);
}

/* Many times as many bytes as are allowed for a job without end. */
static void jobs_that_end_are_not_cut(void **state)
{
    struct fixture *fixture = *state;
    static const char senseless[FRAME_MAX_BYTES];
    const uint64_t many = 1000;
    uint64_t cut_before = count_of("link_cut_connections_total"),
             before = count_of("worker_bridge_malformed_jobs_total");
    wait_connected(fixture, 1);
    zsock_set_sndtimeo(fixture->jobs, 0);
    for (uint64_t i = 0; i < many;) {
        if (zmq_send(zsock_resolve(fixture->jobs), senseless, sizeof senseless, 0) > 0) {
            i++;
        } else {
            assert_false(bridge_link_read(fixture->link, 0, &fixture->job));
            turn(fixture);
        }
    }
    wait_until(count_of("worker_bridge_malformed_jobs_total") == before + many, {
        assert_false(bridge_link_read(fixture->link, 0, &fixture->job));
        turn(fixture);
    });
    assert_int_equal(count_of("link_cut_connections_total"), cut_before);
}

int main(void)
{
    link_key_read("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &key);
    link_key_read("123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0", &other_key);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_there_and_a_reply_back, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(a_job_there_and_a_reply_back, setup_ipc, teardown),
        cmocka_unit_test_setup_teardown(senseless_jobs_are_dropped_and_counted, setup_ipc,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bridge_that_broke_the_protocol_is_connected_to_again,
                                        setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(replies_wait_for_a_bridge_that_restarts, setup_tcp,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bridge_that_comes_as_it_is_given_up_is_connected_to,
                                        setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(unwanted_jobs_stay_where_they_are, setup_ipc, teardown),
        cmocka_unit_test_setup_teardown(a_name_without_an_answer_holds_up_no_other_bridge,
                                        setup_slow_name, teardown_slow_name),
        cmocka_unit_test_setup_teardown(a_name_is_looked_up_until_the_bridge_is_found, setup_name,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_address_of_a_name_is_tried, setup_name_of_two,
                                        teardown),
        cmocka_unit_test_setup_teardown(both_families_reach_a_bridge_on_any_address, setup_ipv6,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_job_there_and_a_reply_back, setup_key, teardown),
        cmocka_unit_test_setup_teardown(a_bridge_that_broke_the_protocol_is_connected_to_again,
                                        setup_key, teardown),
        cmocka_unit_test_setup_teardown(replies_wait_for_a_bridge_that_restarts, setup_key,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bridge_with_another_key_is_not_used, setup_other_key,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bridge_is_used_only_with_a_key_like_the_workers,
                                        setup_key_at_worker, teardown),
        cmocka_unit_test_setup_teardown(a_bridge_is_used_only_with_a_key_like_the_workers,
                                        setup_key_at_bridge, teardown),
        cmocka_unit_test_setup_teardown(a_bridge_dies_while_jobs_are_not_read, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(jobs_that_end_are_not_cut, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(jobs_that_end_are_not_cut, setup_key, teardown),
        cmocka_unit_test_setup_teardown(a_job_without_end_is_cut, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(a_job_without_end_is_cut, setup_key, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
