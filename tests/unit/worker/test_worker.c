/* A worker on a thread of its own, between a fake store and the sockets of a bridge. Its time is
 * the test's. */
#include "proto/job.h"
#include "proto/reply.h"
#include "services/base/endpoint.h"
#include "services/base/metrics.h"
#include "services/worker/link_socket.h"
#include "services/worker/worker.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <czmq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STOP_DEADLINE_MS 8000
#define STOP_UNSENT_MS 1000
#define UNTRIED_MS 15000
#define STEP_MS 5
#define SOME_STEPS 20

enum store_mode {
    STORE_WORKS, /* judges by the orders' names: "reject", "retry" or another one */
    STORE_FAILS,
    STORE_HOLDS, /* answers when it is told to */
};

enum command { COMMAND_READY = 1, COMMAND_ANSWER = 2 }; /* executed on the worker's thread */

struct scene {
    char text[64];
    struct bridge_endpoints endpoints;
    zsock_t *jobs, *replies; /* the bridge's */
    struct worker *worker;
    struct loop_watch *command_watch;
    int command_fd, stop_fd;
    pthread_t thread;
    atomic_bool ended;

    atomic_int mode; /* enum store_mode */
    atomic_bool looks_usable;
    atomic_uint tries;
    struct batch *held;
    struct health_check *health; /* of the store */
};

static const struct worker_code codes[] = {
    {OUTCOME_REJECT, "id_conflict"}, {OUTCOME_RETRY, "busy"}, {OUTCOME_RETRY, "down"}, {0}};

/* ---- the store ---- */

static void judge(struct batch *batch, enum store_mode mode)
{
    if (mode == STORE_FAILS) {
        batch_failed(batch, "down", "the store was told to fail");
        batch_give_up(batch);
        return;
    }
    batch->store_works = true;
    for (size_t i = batch->part.first; i < batch->part.first + batch->part.count; i++) {
        const char *name = batch->orders[i]->product_name;
        if (strcmp(name, "reject") == 0)
            verdict_fail(&batch->verdicts[i], OUTCOME_REJECT, "id_conflict", "another order");
        else if (strcmp(name, "retry") == 0)
            verdict_fail(&batch->verdicts[i], OUTCOME_RETRY, "busy_now", "its row is locked");
        else
            verdict_done(&batch->verdicts[i], 77);
    }
}

static void write_part(void *self, struct batch *batch)
{
    (void)self, (void)batch;
}

static int try_part(void *self, struct batch *batch, int64_t timeout_ms)
{
    struct scene *scene = self;
    enum store_mode mode = (enum store_mode)atomic_load(&scene->mode);
    assert_in_range(timeout_ms, 1, 5000);
    if (mode == STORE_HOLDS)
        scene->held = batch;
    else
        judge(batch, mode);
    atomic_fetch_add(&scene->tries, 1);
    return mode == STORE_HOLDS ? 0 : -1;
}

static bool looks_usable(void *self)
{
    struct scene *scene = self;
    return atomic_load(&scene->looks_usable);
}

static void on_command(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct scene *scene = arg;
    eventfd_t command;
    assert_int_equal(eventfd_read(scene->command_fd, &command), 0);
    if (command == COMMAND_READY) {
        worker_store_ready(scene->worker);
        worker_store_ready(scene->worker); /* again, it does nothing */
    } else {
        judge(scene->held, STORE_WORKS);
        batch_go_on(scene->held, 0);
    }
}

/* ---- the worker and its bridge ---- */

static void *run(void *arg)
{
    struct scene *scene = arg;
    worker_run(scene->worker, scene->stop_fd);
    atomic_store(&scene->ended, true);
    return NULL;
}

/* A moment of both times: threads have real time to do their work, and the worker's time passes. */
static void step(void)
{
    (void)usleep(1000);
    test_clock_advance(STEP_MS);
}

static void pass(int64_t ms)
{
    for (; ms > 0; ms -= STEP_MS)
        step();
}

static void tell(struct scene *scene, enum command command)
{
    assert_int_equal(eventfd_write(scene->command_fd, command), 0);
}

static void stop(struct scene *scene)
{
    assert_int_equal(eventfd_write(scene->stop_fd, 1), 0);
}

static bool has_metric(const char *line)
{
    size_t len;
    char *text = metrics_render(&len);
    bool found = strstr(text, line) != NULL;
    free(text);
    return found;
}

static uint64_t count_of(const char *labels)
{
    return metric_count(metric_counter("worker_orders_total", labels, ""));
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct error err;
    assert_non_null(scene);
    zsys_handler_set(NULL);
    (void)snprintf(scene->text, sizeof scene->text, "tcp://127.0.0.1:%u", loopback_free_ports(3));
    assert_int_equal(bridge_endpoints_parse(scene->text, &scene->endpoints, &err), 0);
    scene->jobs = link_socket_new(LINK_JOBS_TO_WORKERS, NULL);
    assert_true(zsock_bind(scene->jobs, "%s", scene->endpoints.jobs[STAGE_PERSIST]) >= 0);
    scene->replies = link_socket_new(LINK_REPLIES_FROM_WORKERS, NULL);
    scene->health = health_check("store", HEALTH_REQUIRED);
    scene->worker = worker_new(
        &(struct worker_options){
            .bridge_endpoints = scene->text,
            .stage = STAGE_PERSIST,
            .batch_max = 100,
            .width_max = 1,
            .codes = codes,
            .store = {.self = scene,
                      .write_part = write_part,
                      .try_part = try_part,
                      .looks_usable = looks_usable,
                      .limit_ms = 5000,
                      .unavailable = "down"},
            .store_health = scene->health,
        },
        &err);
    assert_non_null(scene->worker);
    scene->stop_fd = eventfd(0, EFD_NONBLOCK);
    scene->command_fd = eventfd(0, EFD_NONBLOCK);
    scene->command_watch =
        event_loop_watch(worker_event_loop(scene->worker), scene->command_fd, on_command, scene);
    loop_watch_want(scene->command_watch, true, false);
    assert_int_equal(pthread_create(&scene->thread, NULL, run, scene), 0);
    *state = scene;
    return 0;
}

static void take_replies(struct scene *scene)
{
    assert_true(zsock_bind(scene->replies, "%s", scene->endpoints.reply) >= 0);
}

/* The worker ends by itself, a little later. */
static int teardown(void **state)
{
    struct scene *scene = *state;
    wait_until(atomic_load(&scene->ended), step());
    assert_int_equal(pthread_join(scene->thread, NULL), 0);
    loop_watch_free(scene->command_watch);
    worker_free(scene->worker);
    zsock_destroy(&scene->jobs);
    zsock_destroy(&scene->replies);
    close(scene->command_fd);
    close(scene->stop_fd);
    free(scene);
    return 0;
}

/* Returns false while no worker takes it. */
static bool send_job(struct scene *scene, const char *const names[], size_t count)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    struct job_route route = {.incarnation = {1, 2, 3}, .epoch = 4, .stage = STAGE_PERSIST};
    struct order orders[8] = {{.created_at_us = 5}};
    struct job_item items[8];
    for (size_t i = 0; i < count; i++) {
        orders[i].amount_cents = 100;
        orders[i].id.bytes[0] = (uint8_t)i;
        order_set_name(&orders[i], names[i], strlen(names[i]));
        items[i] = (struct job_item){.delivery_tag = 10 + i, .attempt = 1, .order = &orders[i]};
    }
    size_t len = job_encode(&route, items, count, buffer);
    return zmq_send(zsock_resolve(scene->jobs), buffer, len, ZMQ_DONTWAIT) == (int)len;
}

#define SEND_JOB(scene, ...)                                                                       \
    do {                                                                                           \
        const char *const names_[] = {__VA_ARGS__};                                                \
        wait_until(send_job(scene, names_, COUNT(names_)), step());                                \
    } while (0)

/* The replies to the orders of one job, by their delivery tags. */
static void receive_replies(struct scene *scene, struct verdict verdicts[], size_t count)
{
    static uint8_t buffer[FRAME_MAX_BYTES];
    static struct reply_item items[REPLY_MAX_ITEMS];
    void *socket = zsock_resolve(scene->replies);
    for (size_t seen = 0; seen < count;) {
        struct job_route route;
        size_t item_count;
        int len = -1;
        wait_until((len = zmq_recv(socket, buffer, sizeof buffer, ZMQ_DONTWAIT)) >= 0, step());
        assert_int_equal(reply_decode(buffer, (size_t)len, &route, items, &item_count, NULL), 0);
        assert_int_equal(route.epoch, 4);
        assert_int_equal(route.version, FRAME_VERSION);
        for (size_t i = 0; i < item_count; i++) {
            assert_in_range(items[i].delivery_tag, 10, 10 + count - 1);
            verdicts[items[i].delivery_tag - 10] = items[i].verdict;
        }
        seen += item_count;
    }
}

/* Even though it had real time enough to end. */
static void assert_still_running(struct scene *scene)
{
    (void)usleep(20000);
    assert_false(atomic_load(&scene->ended));
}

/* ---- tests ---- */

static void test_orders_are_answered_one_by_one(void **state)
{
    struct scene *scene = *state;
    static const char done_labels[] = "outcome=\"done\",code=\"\"",
                      reject_labels[] = "outcome=\"reject\",code=\"id_conflict\"",
                      retry_labels[] = "outcome=\"retry\",code=\"busy\"";
    uint64_t done = count_of(done_labels), rejected = count_of(reject_labels),
             retried = count_of(retry_labels);
    take_replies(scene);
    for (int i = 0; i < SOME_STEPS; i++)
        step();
    assert_false(send_job(scene, (const char *const[]){"a"}, 1)); /* no worker before its store */

    tell(scene, COMMAND_READY);
    SEND_JOB(scene, "a", "reject", "retry", "b");
    struct verdict verdicts[4];
    receive_replies(scene, verdicts, 4);
    assert_int_equal(verdicts[0].outcome, OUTCOME_DONE);
    assert_int_equal(verdicts[0].created_at_us, 77);
    assert_int_equal(verdicts[1].outcome, OUTCOME_REJECT);
    assert_string_equal(verdicts[1].code, "id_conflict");
    assert_string_equal(verdicts[1].detail, "another order");
    assert_int_equal(verdicts[2].outcome, OUTCOME_RETRY);
    assert_string_equal(verdicts[2].code, "busy_now");
    assert_int_equal(verdicts[3].outcome, OUTCOME_DONE);

    assert_int_equal(count_of(done_labels) - done, 2);
    assert_int_equal(count_of(reject_labels) - rejected, 1);
    assert_int_equal(count_of(retry_labels) - retried, 1);
    assert_true(health_up(scene->health));
    wait_until(has_metric("\nworker_bridges_connected 1\n"), step());
    assert_true(has_metric("\nworker_batch_max_orders 100\n"));
    stop(scene);
}

/* Frames as a bridge and a worker of the release before version 2 exchanged them: recorded. */
static void test_an_old_bridge_is_answered_in_kind(void **state)
{
    static const char old_job[] =
        "\x96\x01\x01\xc4\x10"
        "0123456789abcdef"
        "\xcf\x00\x00\x00\x00\x00\x00\x00\x07\x01\x91"
        "\x96\xcf\x00\x00\x00\x00\x00\x00\x00\x01\x01\xc4\x10"
        "fedcba9876543210"
        "\xce\x00\x01\xfb\xcf\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xa6Laptop";
    static const char old_reply[] = "\x96\x01\x02\xc4\x10"
                                    "0123456789abcdef"
                                    "\x07\x01\x91\x96\x01\x01\x01\xa0\xa0\x4d";
    struct scene *scene = *state;
    uint8_t reply[FRAME_MAX_BYTES];
    take_replies(scene);
    tell(scene, COMMAND_READY);
    wait_until(zmq_send(zsock_resolve(scene->jobs), old_job, sizeof old_job - 1, ZMQ_DONTWAIT) > 0,
               step());
    int len = -1;
    wait_until((len = zmq_recv(zsock_resolve(scene->replies), reply, sizeof reply, ZMQ_DONTWAIT)) >=
                   0,
               step());
    assert_int_equal(len, sizeof old_reply - 1);
    assert_memory_equal(reply, old_reply, sizeof old_reply - 1);

    struct verdict verdict; /* beside a new bridge */
    SEND_JOB(scene, "a");
    receive_replies(scene, &verdict, 1);
    assert_int_equal(verdict.outcome, OUTCOME_DONE);
    stop(scene);
}

static void test_store_fails_and_works_again(void **state)
{
    struct scene *scene = *state;
    struct verdict verdict;
    atomic_store(&scene->mode, STORE_FAILS);
    take_replies(scene);
    tell(scene, COMMAND_READY);
    SEND_JOB(scene, "a");
    receive_replies(scene, &verdict, 1);
    assert_int_equal(verdict.outcome, OUTCOME_RETRY);
    assert_string_equal(verdict.code, "down");
    assert_false(health_up(scene->health));
    size_t len;
    char *report = health_render(HEALTH_REASONS, &len);
    assert_non_null(strstr(report, "down: the store was told to fail"));
    free(report);

    atomic_store(&scene->mode, STORE_WORKS);
    SEND_JOB(scene, "a");
    receive_replies(scene, &verdict, 1);
    assert_int_equal(verdict.outcome, OUTCOME_DONE);
    assert_true(health_up(scene->health));
    stop(scene);
}

/* Other workers take the orders that failed here, and no more come. */
static void test_store_that_nothing_tries(void **state)
{
    struct scene *scene = *state;
    struct verdict verdict;
    atomic_store(&scene->mode, STORE_FAILS);
    take_replies(scene);
    tell(scene, COMMAND_READY);
    SEND_JOB(scene, "a");
    receive_replies(scene, &verdict, 1);
    wait_until(!health_up(scene->health), step());

    pass(UNTRIED_MS + 1000); /* it does not look usable */
    assert_false(health_up(scene->health));
    atomic_store(&scene->looks_usable, true);
    wait_until(health_up(scene->health), step());

    SEND_JOB(scene, "a"); /* what an order says counts at once, and for twice the time */
    receive_replies(scene, &verdict, 1);
    wait_until(!health_up(scene->health), step());
    pass(UNTRIED_MS + 1000);
    assert_false(health_up(scene->health));
    wait_until(health_up(scene->health), step());
    stop(scene);
}

static void hold_a_batch(struct scene *scene)
{
    atomic_store(&scene->mode, STORE_HOLDS);
    tell(scene, COMMAND_READY);
    SEND_JOB(scene, "a", "b");
    wait_until(atomic_load(&scene->tries) == 1, step());
}

static void test_stop_answers_what_was_read(void **state)
{
    struct scene *scene = *state;
    take_replies(scene);
    hold_a_batch(scene);
    stop(scene);
    test_clock_advance(1000);
    assert_still_running(scene);
    tell(scene, COMMAND_ANSWER);
    struct verdict verdicts[2];
    receive_replies(scene, verdicts, 2);
    assert_int_equal(verdicts[0].outcome, OUTCOME_DONE);
    assert_int_equal(verdicts[1].outcome, OUTCOME_DONE);
}

static void test_stop_does_not_wait_for_ever(void **state)
{
    struct scene *scene = *state;
    take_replies(scene);
    hold_a_batch(scene);
    stop(scene);
    assert_still_running(scene);
    test_clock_advance(STOP_DEADLINE_MS - 1);
    assert_still_running(scene);
}

/* The bridge does not even listen for replies. */
static void test_stop_leaves_replies_that_nobody_takes(void **state)
{
    struct scene *scene = *state;
    hold_a_batch(scene);
    stop(scene);
    assert_still_running(scene);
    tell(scene, COMMAND_ANSWER);
    assert_still_running(scene);
    test_clock_advance(STOP_UNSENT_MS - 1);
    assert_still_running(scene);
}

static void test_malformed_endpoint(void **state)
{
    (void)state;
    struct error err;
    for (int i = 0; i < 2; i++) {
        const struct worker_options options = {
            .bridge_endpoints = i == 0 ? "" : "tcp://nowhere", .batch_max = 1, .codes = codes};
        err.message[0] = '\0';
        assert_null(worker_new(&options, &err));
        assert_true(err.message[0] != '\0');
    }
    worker_free(NULL);
}

#define WORKER_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(test_orders_are_answered_one_by_one),
        WORKER_TEST(test_an_old_bridge_is_answered_in_kind),
        WORKER_TEST(test_store_fails_and_works_again),
        WORKER_TEST(test_store_that_nothing_tries),
        WORKER_TEST(test_stop_answers_what_was_read),
        WORKER_TEST(test_stop_does_not_wait_for_ever),
        WORKER_TEST(test_stop_leaves_replies_that_nobody_takes),
        cmocka_unit_test(test_malformed_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
