/* The bridge's sockets against those of workers, with a fake flow behind them. */
#include "services/base/endpoint.h"
#include "services/base/metrics.h"
#include "services/bridge/workers.h"
#include "services/worker/link_socket.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/run_loop.h"
#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDPOINTS (STAGES + 1) /* of a bridge */
/* The largest jobs: few of them fill the queues. */
#define LONG_NAME                                                                                  \
    "A product whose name is so long that it fills more than a line of the list in which it "      \
    "stands"
#define MANY_REPLIES 150 /* more than one turn of the loop reads */

static const struct job_route route = {
    .incarnation = {1, 2, 3}, .epoch = 4, .stage = STAGE_PERSIST, .version = FRAME_VERSION};

struct scene {
    char directory[64], bind[128];
    struct bridge_endpoints endpoints;
    struct event_loop *loop;
    struct workers *workers;
    zsock_t *jobs[STAGES], *replies; /* of a worker of each stage; NULL while there is none */
    unsigned turns;
};

/* ---- the flow ---- */

static struct {
    unsigned writable[STAGES], replies;
    uint64_t last_tag;
} flow;

void flow_writable(struct flow *unused, enum stage stage)
{
    assert_ptr_equal(unused, &flow);
    flow.writable[stage]++;
}

void flow_reply(struct flow *unused, const struct job_route *of, const struct reply_item *items,
                size_t count, int64_t now_ms)
{
    assert_ptr_equal(unused, &flow);
    assert_int_equal(of->epoch, route.epoch);
    assert_memory_equal(of->incarnation, route.incarnation, sizeof route.incarnation);
    assert_int_equal(count, 1);
    assert_int_equal(items[0].verdict.outcome, OUTCOME_DONE);
    assert_true(now_ms > 0);
    flow.replies++;
    flow.last_tag = items[0].delivery_tag;
}

/* ---- the bridge and its workers ---- */

static void on_turn(void *arg)
{
    struct scene *scene = arg;
    scene->turns++;
}

static void open_bridge(struct scene *scene)
{
    struct error err;
    assert_int_equal(bridge_endpoints_parse(scene->bind, &scene->endpoints, &err), 0);
    scene->loop = event_loop_new();
    scene->workers = workers_new(
        scene->loop,
        &(struct workers_options){
            .bind = scene->bind, .flow = (struct flow *)&flow, .on_turn = on_turn, .arg = scene},
        &err);
    assert_non_null(scene->workers);
    memset(&flow, 0, sizeof flow);
}

static int setup_tcp(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    zsys_handler_set(NULL);
    (void)snprintf(scene->bind, sizeof scene->bind, "tcp://127.0.0.1:%u", loopback_free_ports(3));
    open_bridge(scene);
    *state = scene;
    return 0;
}

static int setup_ipc(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    zsys_handler_set(NULL);
    strcpy(scene->directory, "/tmp/test-workers-XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    (void)snprintf(scene->bind, sizeof scene->bind, "ipc://%s/bridge", scene->directory);
    open_bridge(scene);
    *state = scene;
    return 0;
}

/* Of an ipc:// endpoint. */
static const char *socket_path(const struct scene *scene, size_t i)
{
    return (i < STAGES ? scene->endpoints.jobs[i] : scene->endpoints.reply) + strlen("ipc://");
}

static const char *lock_path(const struct scene *scene)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/bridge.lock", scene->directory);
    return path;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    workers_free(scene->workers);
    event_loop_free(scene->loop);
    for (size_t i = 0; i < STAGES; i++)
        zsock_destroy(&scene->jobs[i]);
    zsock_destroy(&scene->replies);
    if (scene->directory[0] != '\0') {
        for (size_t i = 0; i < ENDPOINTS; i++) /* libzmq leaves them */
            assert_int_equal(unlink(socket_path(scene, i)), 0);
        assert_int_equal(unlink(lock_path(scene)), 0);
        assert_int_equal(rmdir(scene->directory), 0);
    }
    free(scene);
    return 0;
}

static zsock_t *connected(enum link_end end, const char *endpoint)
{
    zsock_t *socket = link_socket_new(end, NULL);
    assert_int_equal(zsock_connect(socket, "%s", endpoint), 0);
    return socket;
}

static void start_worker(struct scene *scene, enum stage stage)
{
    scene->jobs[stage] = connected(LINK_JOBS_FROM_BRIDGE, scene->endpoints.jobs[stage]);
}

static int push(struct scene *scene, enum stage stage, uint64_t tag)
{
    struct job_route to = route;
    to.stage = stage;
    struct order order = {.amount_cents = 100, .created_at_us = 5};
    struct job_item items[JOB_MAX_ORDERS];
    order_set_name(&order, LONG_NAME, strlen(LONG_NAME));
    for (size_t i = 0; i < JOB_MAX_ORDERS; i++)
        items[i] = (struct job_item){.delivery_tag = tag, .attempt = 1, .order = &order};
    return workers_push(scene->workers, &to, items, JOB_MAX_ORDERS);
}

static bool take_job(struct scene *scene, enum stage stage, uint64_t *ret_tag)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    static struct job_item items[JOB_MAX_ORDERS];
    static struct order orders[JOB_MAX_ORDERS];
    struct job_route of;
    size_t count;
    int len = zmq_recv(zsock_resolve(scene->jobs[stage]), buffer, sizeof buffer, ZMQ_DONTWAIT);
    if (len < 0)
        return false;
    assert_int_equal(job_decode(buffer, (size_t)len, &of, items, orders, &count, NULL), 0);
    assert_int_equal(of.stage, stage);
    assert_int_equal(count, JOB_MAX_ORDERS);
    *ret_tag = items[0].delivery_tag;
    return true;
}

static size_t encode_reply(uint64_t tag, uint8_t buffer[FRAME_MAX_BYTES])
{
    struct reply_item item = {
        .delivery_tag = tag, .attempt = 1, .verdict = {.outcome = OUTCOME_DONE}};
    return reply_encode(&route, &item, 1, buffer);
}

static void send_frame(struct scene *scene, const void *bytes, size_t len, int flags)
{
    wait_until(zmq_send(zsock_resolve(scene->replies), bytes, len, flags | ZMQ_DONTWAIT) ==
                   (int)len,
               event_loop_turn(scene->loop, 1));
}

static void send_reply(struct scene *scene, uint64_t tag)
{
    uint8_t buffer[FRAME_MAX_BYTES];
    send_frame(scene, buffer, encode_reply(tag, buffer), 0);
}

/* ---- tests ---- */

static void test_jobs_go_to_the_workers_of_their_stage(void **state)
{
    struct scene *scene = *state;
    uint64_t tag = 0;
    for (enum stage stage = 0; stage < STAGES; stage++) {
        assert_false(workers_writable(scene->workers, stage));
        assert_int_equal(push(scene, stage, 1), -1);
        start_worker(scene, stage);
        run_loop_until(scene->loop, flow.writable[stage] > 0);
        assert_true(workers_writable(scene->workers, stage));
        assert_true(scene->turns > 0);
        assert_int_equal(push(scene, stage, 10 + (uint64_t)stage), 0);
    }
    for (enum stage stage = 0; stage < STAGES; stage++) {
        run_loop_until(scene->loop, take_job(scene, stage, &tag));
        assert_int_equal(tag, 10 + stage);
        assert_false(take_job(scene, stage, &tag));
        assert_int_equal(flow.writable[stage], 1); /* told once for each push that failed */
    }
}

static void test_a_worker_that_reads_nothing(void **state)
{
    struct scene *scene = *state;
    uint64_t tag = 0, pushed = 0;
    assert_int_equal(push(scene, STAGE_PERSIST, 1), -1);
    start_worker(scene, STAGE_PERSIST);
    run_loop_until(scene->loop, flow.writable[STAGE_PERSIST] == 1);
    do {
        while (push(scene, STAGE_PERSIST, pushed + 1) == 0)
            assert_in_range(++pushed, 1, 100000);
        run_loop_for(scene->loop, 20); /* for what libzmq and the kernel still take */
    } while (workers_writable(scene->workers, STAGE_PERSIST));
    unsigned writable = flow.writable[STAGE_PERSIST];
    for (uint64_t i = 1; i <= pushed; i++) { /* each job came once, in turn */
        run_loop_until(scene->loop, take_job(scene, STAGE_PERSIST, &tag));
        assert_int_equal(tag, i);
    }
    run_loop_until(scene->loop, flow.writable[STAGE_PERSIST] == writable + 1);
}

static void test_replies(void **state)
{
    struct scene *scene = *state;
    scene->replies = connected(LINK_REPLIES_TO_BRIDGE, scene->endpoints.reply);
    for (uint64_t tag = 1; tag <= MANY_REPLIES; tag++)
        send_reply(scene, tag);
    run_loop_until(scene->loop, flow.replies == MANY_REPLIES);
    assert_int_equal(flow.last_tag, MANY_REPLIES);
    assert_true(scene->turns > 0);
}

static void test_senseless_replies_are_dropped_and_counted(void **state)
{
    struct scene *scene = *state;
    struct metric_counter *counter = metric_counter("bridge_malformed_replies_total", NULL, "");
    uint64_t before = metric_count(counter);
    uint8_t buffer[FRAME_MAX_BYTES];
    size_t len = encode_reply(1, buffer);
    scene->replies = connected(LINK_REPLIES_TO_BRIDGE, scene->endpoints.reply);
    send_frame(scene, "garbage", 7, 0);
    send_frame(scene, "", 0, 0);
    send_frame(scene, buffer, len, ZMQ_SNDMORE); /* several frames: dropped whole */
    send_frame(scene, buffer, len, ZMQ_SNDMORE);
    send_frame(scene, buffer, len, 0);
    send_reply(scene, 9);
    run_loop_until(scene->loop, flow.replies > 0);
    assert_int_equal(flow.replies, 1);
    assert_int_equal(flow.last_tag, 9);
    assert_int_equal(metric_count(counter) - before, 3);
}

static void test_socket_files_are_for_their_owner(void **state)
{
    struct scene *scene = *state;
    for (size_t i = 0; i < ENDPOINTS; i++) {
        struct stat status;
        assert_int_equal(stat(socket_path(scene, i), &status), 0);
        assert_int_equal(status.st_mode & 0077, 0);
    }
}

/* libzmq would take the files from a bridge that runs. */
static void test_socket_files_are_locked(void **state)
{
    struct scene *scene = *state;
    struct error err;
    struct workers_options options = {.bind = scene->bind, .flow = (struct flow *)&flow};
    uint64_t tag = 0;
    assert_null(workers_new(scene->loop, &options, &err));
    assert_non_null(strstr(err.message, "BRIDGE_BIND: cannot lock "));
    assert_non_null(strstr(err.message, "bridge.lock: another bridge has it"));

    start_worker(scene, STAGE_PERSIST); /* it finds the one that runs */
    wait_until(push(scene, STAGE_PERSIST, 7) == 0, event_loop_turn(scene->loop, 1));
    run_loop_until(scene->loop, take_job(scene, STAGE_PERSIST, &tag));
    assert_int_equal(tag, 7);

    workers_free(scene->workers);
    scene->workers = workers_new(scene->loop, &options, &err); /* over the files that are left */
    assert_non_null(scene->workers);
    assert_null(workers_new(scene->loop,
                            &(struct workers_options){.bind = "ipc:///no/such/folder/b"}, &err));
    assert_non_null(strstr(err.message, "cannot lock /no/such/folder/b.lock: No such file"));
}

static void test_cannot_bind(void **state)
{
    struct scene *scene = *state;
    struct error err;
    struct workers_options options = {.bind = scene->bind};
    assert_null(workers_new(scene->loop, &options, &err)); /* it is bound already */
    assert_non_null(strstr(err.message, "BRIDGE_BIND: cannot bind tcp://127.0.0.1:"));
    assert_non_null(strstr(err.message, "Address already in use"));
    options.bind = "nonsense";
    assert_null(workers_new(scene->loop, &options, &err));
    workers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_jobs_go_to_the_workers_of_their_stage, setup_tcp,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_jobs_go_to_the_workers_of_their_stage, setup_ipc,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_that_reads_nothing, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(test_replies, setup_tcp, teardown),
        cmocka_unit_test_setup_teardown(test_senseless_replies_are_dropped_and_counted, setup_tcp,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_socket_files_are_for_their_owner, setup_ipc, teardown),
        cmocka_unit_test_setup_teardown(test_socket_files_are_locked, setup_ipc, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_bind, setup_tcp, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
